"""Settings as rows of a table: what a control is called, where its value goes in the scenario, what it may be.

The choices come from the core itself (``memcalc.scenario.choices``): what it learns appears on the pages by itself,
and what it does not support yet is not offered. No Streamlit in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from memcalc.kinds import idle_in
from memcalc.scenario.choices import accepted, known_values
from memcalc.scenario.paths import Json, get, put

__all__ = ["FOLDED", "Json", "Setting", "accepted", "fill", "get", "known_values", "put", "set_in"]


def _always(_scenario: Json) -> bool:
    return True


@dataclass(frozen=True)
class Setting:
    """One control. ``path`` is the scenario's field (``"training.optimizer"``); ``key`` names it in a link.

    ``shown`` names values on the page (others are shown as they are), ``lines`` explains them; ``only`` limits a
    setting to fewer values than the core has; ``usual`` is the value that may be left out (unless it is to be ``said``
    all the same, being no default of the core's). ``compared`` limits the values whose effect is shown beside the
    control: each costs an estimate at every movement of a slider. ``wish`` is what a
    switch asks for when it is on. ``when`` says for which scenarios the setting means anything, ``carried``
    that the first page's settings bring it (they shorten what a model has no positions for).
    """

    key: str
    label: str
    path: str
    kind: Literal["choice", "few", "switch", "ladder"]
    usual: Any
    help: str
    rungs: tuple[int, ...] = ()
    wish: Any = True
    shown: Mapping[Any, str] = field(default_factory=dict)
    lines: Mapping[Any, str] = field(default_factory=dict)
    only: tuple[Any, ...] | None = None
    when: Callable[[Json], bool] = _always
    carried: bool = False
    said: bool = False
    compared: tuple[Any, ...] | None = None

    def name(self, value: Any) -> str:
        """A value as the page and a link write it."""
        return self.shown.get(value, str(value))

    def value(self, name: Any) -> Any:
        """The value that a control's state means; the usual one for what is none."""
        if self.kind == "switch":
            return self.wish if name is True else self.usual
        if self.kind == "ladder":
            return name if isinstance(name, int) and name in self.rungs else self.usual
        return next((one for one in self.values() if self.name(one) == name), self.usual)

    def state(self, value: Any) -> Any:
        """The control's state for a value: the opposite of ``value``. None where the control cannot say it."""
        if self.kind == "switch":
            return value is not None and value != self.usual
        return (value if self.kind == "ladder" else self.name(value)) if value in self.values() else None

    def values(self) -> tuple[Any, ...]:
        """Every value the control can take, the usual one first for switches, else in the core's order."""
        if self.kind == "ladder":
            return self.rungs
        if self.kind == "switch":
            return (self.usual, self.wish)
        known = known_values(self.path)
        return tuple(one for one in (self.only or known) if one in known) or (self.usual,)

    def applies(self, scenario: Json) -> bool:
        """Whether it means anything for a scenario: for its model's kind, and beside the other settings."""
        return self.path not in idle_in(scenario) and self.when(scenario)

    def supported(self) -> bool:
        """Whether the core knows more than one value."""
        if self.kind == "ladder":
            return accepted(self.path, self.rungs[-1])
        return accepted(self.path, self.wish) if self.kind == "switch" else len(self.values()) > 1

    def allowed(self) -> list[str]:
        """What a link may say."""
        if self.kind == "switch":
            return ["true", "false"]
        return [self.name(value) for value in self.values()]


FOLDED = frozenset({"More memory savers", "Many GPUs", "Details of the step"})
"""Groups of settings that are folded until somebody opens them."""


def set_in(group: tuple[Setting, ...], states: Mapping[str, Any]) -> str:
    """What of a group is not as usual, in words: ``Clip gradients; Cards that share a batch: 8``."""
    said = []
    for setting in group:
        value = setting.value(states.get(setting.key, setting.state(setting.usual)))
        if value != setting.usual:
            said.append(setting.label if setting.kind == "switch" else f"{setting.label}: {setting.name(value)}")
    return "; ".join(said)


def fill(scenario: Json, settings: tuple[Setting, ...], states: Mapping[str, Any]) -> Json:
    """The scenario with every setting that applies. Usual values that it does not carry yet are left out, so that
    pins stay short."""
    for setting in settings:
        if setting.key in states and not setting.carried and setting.applies(scenario) and setting.supported():
            value = setting.value(states[setting.key])
            if value != setting.usual or setting.said or get(scenario, setting.path) is not None:
                scenario = put(scenario, setting.path, value)
    return scenario
