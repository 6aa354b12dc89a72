"""The smallest number of cards of one kind on which a scenario fits, for each way to share it between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.errors import MemcalcError
from memcalc.scenario.choices import known_values
from memcalc.scenario.paths import Json, put
from memcalc.shared import Shared
from memcalc.solve.verdict import Verdict, verdict

MOST_CARDS = 1024
NOT_SHARED = "ddp"
"""A strategy that copies everything: more cards do not make it smaller."""


@dataclass(frozen=True, slots=True)
class Count:
    """With ``strategy`` the scenario fits on ``cards`` cards, and on no fewer (None: on no number up to MOST_CARDS that
    was looked at). ``at`` is the verdict on one of them."""

    strategy: str
    cards: int | None
    at: Verdict | None
    sets: tuple[tuple[str, Any], ...]


def fewest_cards(
    scenario: Mapping[str, Any], allow_files: bool = True, shared: Shared | None = None
) -> tuple[Count, ...]:
    """For each strategy that the core knows and that goes with the scenario, the fewest cards. Batch is what it is on
    every card."""
    shared = shared or Shared()
    asked = dict(scenario)
    found = []
    if (scenario.get("task") or "infer") == "train":
        for strategy in known_values("parallel.strategy"):
            if strategy != NOT_SHARED:
                count = _fewest(
                    put(asked, "parallel.strategy", strategy), strategy, "parallel.data", allow_files, shared
                )
                found.append(count)
    found.append(_fewest(asked, "tensor parallel", "parallel.tensor", allow_files, shared))
    return tuple(one for one in found if one.at is not None or one.cards is not None)


def _fewest(scenario: Json, strategy: str, path: str, allow_files: bool, shared: Shared) -> Count:
    """Powers of two until it fits, then the numbers between. Numbers that are refused (heads that do not divide) are
    skipped; a Count without a verdict where all are."""

    def at(cards: int) -> Verdict | None:
        try:
            return verdict(put(scenario, path, cards), shared, allow_files)
        except MemcalcError:
            return None

    last: Verdict | None = None
    below, power = 1, 1
    while power <= MOST_CARDS:
        there = at(power)
        last = there or last
        if there is not None and there.fits:
            break
        below, power = power, 2 * power
    else:
        return Count(strategy, None, last, ())
    for cards in _between(below, power):
        there = at(cards)
        if there is not None and there.fits:
            return Count(strategy, cards, there, _sets(scenario, path, cards))
    return Count(strategy, power, at(power), _sets(scenario, path, power))


def _between(below: int, power: int) -> range:
    """The numbers between a power of two that does not fit and the next that does; where there are many, every
    sixteenth of the way (ranks come in whole machines then)."""
    return range(below + max(1, (power - below) // 16), power, max(1, (power - below) // 16))


def _sets(scenario: Json, path: str, cards: int) -> tuple[tuple[str, Any], ...]:
    """The fields that make it so."""
    strategy = (scenario.get("parallel") or {}).get("strategy")
    return ((path, cards), *((("parallel.strategy", strategy),) if strategy else ()))
