"""A change to a scenario: what it sets, and what it costs besides memory.

What a change saves is never written here: it is the difference of two estimates. What it costs is, in words and with
its source, because no memory model can know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.diffusion import is_pipeline, understood
from memcalc.scenario import Scenario
from memcalc.scenario.paths import Json, get, put

PAIN = {
    0: "nothing worth naming",
    1: "a flag or a package",
    2: "a little time, or care",
    3: "up to a third more time, or a small risk for the result",
    5: "a risk for the result, or much more time",
    8: "another way to train or serve, with another result",
    13: "another model, or other data",
}
"""How much a change costs, as a number to add up and to sort by; a judgement, made once for each change, by the worst
of time, quality and effort."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a change costs: ``words`` for people, ``pain`` to rank by, ``time`` as an order of magnitude where it is
    known, with its ``source``."""

    words: str
    pain: int
    time: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: the fields it ``sets``. Changes of one ``group`` exclude each other."""

    key: str
    group: str
    title: str
    sets: tuple[tuple[str, Any], ...]
    cost: Cost

    @property
    def minor(self) -> bool:
        """Whether it costs no more than a flag or a package."""
        return self.cost.pain <= 1

    def apply(self, scenario: Json) -> Json:
        """The scenario with the change made."""
        for path, value in self.sets:
            scenario = put(scenario, path, value)
        return scenario


def read(scenario: Mapping[str, Any]) -> Json:
    """The scenario with every default filled in; MemcalcError for what cannot be understood."""
    return understood(scenario).as_dict() if is_pipeline(scenario) else Scenario.read(scenario).as_dict()


@dataclass(frozen=True, slots=True)
class Now:
    """The scenario as it is, with every default filled in, for changes to look at."""

    scenario: Json
    filled: Mapping[str, Any]

    @classmethod
    def of(cls, scenario: Mapping[str, Any]) -> Now:
        return cls(dict(scenario), read(scenario))

    def get(self, path: str) -> Any:
        """A field's value, the default's if it was not given."""
        given = get(self.scenario, path)
        return get(self.filled, path) if given is None else given


def set_to(key: str, group: str, title: str, cost: Cost, **sets: Any) -> Change:
    """A change that sets fields; ``training__optimizer`` stands for ``training.optimizer``."""
    return Change(key, group, title, tuple((path.replace("__", "."), value) for path, value in sets.items()), cost)


def smaller(number: int) -> int:
    """The largest divisor of ``number`` that is at most half of it: ``smaller(6) == 3``, ``smaller(7) == 1``."""
    return next(one for one in range(max(1, number // 2), 0, -1) if number % one == 0)
