"""What a lesson is made of. Plain values, no screen: the pages draw them, tests recompute them.

A lesson has one idea, one figure and one variable that is moved at a time. Its question is asked before the figure is
shown. Everything with a number in it is a function of the reader's case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from memcalc.learn.case import Case, Model


@dataclass(frozen=True)
class Variable:
    """What the reader moves. ``key`` names it in a link, ``names`` says how a value is written there and on the page
    (others are written as they are). ``kind``: rungs of a ladder, or a choice of few."""

    key: str
    label: str
    values: tuple[Any, ...]
    usual: Any
    help: str = ""
    names: Mapping[Any, str] = field(default_factory=dict)
    kind: Literal["ladder", "choice"] = "ladder"

    def name(self, value: Any) -> str:
        """A value as the page and a link write it."""
        return self.names.get(value, str(value))

    def value(self, state: Any) -> Any:
        """The value that a control's state (a value or its name) means; the usual one for what is none."""
        return next((one for one in self.values if state in (one, self.name(one))), self.usual)


@dataclass(frozen=True)
class Question:
    """Asked before the figure is shown. ``right`` is an index into ``choices``; ``why`` answers with numbers."""

    text: str
    choices: tuple[str, ...]
    right: int
    why: str


@dataclass(frozen=True)
class Stack:
    """A bar: bytes by component."""

    label: str
    parts: Mapping[str, int]
    chosen: bool = False

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Bars:
    """Stacked bars on one axis, ``floor`` bytes long at least (so that it stays where it is while a slider moves)."""

    stacks: tuple[Stack, ...]
    floor: int = 0

    @property
    def parts(self) -> list[str]:
        """Components that are not zero everywhere, in the order of stacking."""
        named = list(dict.fromkeys(part for one in self.stacks for part in one.parts))
        return [part for part in named if any(one.parts.get(part, 0) > 0 for one in self.stacks)]


@dataclass(frozen=True)
class Curve:
    """Values over the figure's axis; None where there is none. ``part``: the component whose colour it has;
    ``quiet``: it goes without its name, which stands elsewhere."""

    name: str
    xs: tuple[float, ...]
    ys: tuple[float | None, ...]
    part: str
    dashed: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Mark:
    """A point of the figure with a word beside it."""

    text: str
    x: float
    y: float
    part: str


@dataclass(frozen=True)
class Band:
    """A range of the upright axis with a name, as a rule of thumb has it."""

    text: str
    low: float
    high: float


@dataclass(frozen=True)
class Curves:
    """Lines over one axis. ``unit`` is the upright axis's: bytes are drawn in GiB, anything else as it is. ``start``:
    where the lower axis begins; ``logarithmic``: that it counts in powers, and ``rising`` that the upright one does.
    ``stacked``: each line lies on the one before. ``ticks``: words on the lower axis in place of numbers."""

    across: str
    upright: str
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...] = ()
    bands: tuple[Band, ...] = ()
    unit: Literal["bytes", "GB", "%"] = "bytes"
    logarithmic: bool = False
    start: float = 0.0
    rising: Literal["evenly", "powers"] = "evenly"
    stacked: bool = False
    ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Term:
    """A line of the formula: what it is, its arithmetic, what it comes to."""

    name: str
    how: str
    value: str
    total: bool = False


@dataclass(frozen=True)
class Rule:
    """A rule of thumb in its own words, whether it holds here, and why, with today's numbers."""

    text: str
    holds: bool | None
    sentence: str


@dataclass(frozen=True)
class Table:
    """Where something is true: rows of words. ``marked`` cells (row, column) carry the name of what is true there."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: Mapping[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """What the figure shows for a case: itself, in one sentence, as a formula, and what becomes of the rules."""

    figure: Bars | Curves
    alternative: str
    headline: str
    formula: tuple[Term, ...]
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """A page of the dashboard at this state."""

    label: str
    page: str
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Lesson:
    """One lesson. ``fixed`` says what stays the same while the variable moves. ``maps`` are computed only when somebody
    looks. ``terms``: words of the glossary that the lesson needs."""

    title: str
    idea: str
    variables: tuple[Variable, ...]
    fixed: Callable[[Case], str]
    question: Callable[[Case], Question]
    show: Callable[[Case], Shown]
    remember: Callable[[Case], tuple[str, ...]]
    links: Callable[[Case], tuple[Link, ...]]
    maps: Callable[[Case], tuple[Table, ...]] | None = None
    map_title: str = "Where do the rules hold? A map"
    terms: tuple[str, ...] = ()

    def case(self, model: Model, states: Mapping[str, Any]) -> Case:
        """The reader's case: the states of the controls, usual values where there are none."""
        return Case(model, {one.key: one.value(states.get(one.key, one.usual)) for one in self.variables})

    def usual(self, model: Model) -> Case:
        """The case that the question is about."""
        return self.case(model, {})
