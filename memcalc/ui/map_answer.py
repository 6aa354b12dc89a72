"""What the page "Sweep" shows, worked out once: the map of a question, and its picture without the visitor's point.

Whoever moves a slider along one of the map's own axes asks the same question again, and only the cross on the picture
moves. No Streamlit in here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.machine import Machine
from memcalc.scenario.paths import Json, get
from memcalc.shared import Shared
from memcalc.solve.axes import Axis, axes
from memcalc.solve.grid import REFUSED, Map, grid
from memcalc.solve.verdict import understood
from memcalc.ui import map_figures
from memcalc.ui.map_figures import Limit, Point

KINDS: Final = ("Heat map", "Curves")


@dataclass(frozen=True)
class Picture:
    """A map as it is shown: its near part, the figure without the visitor's point, both in words, and what is to be
    said above it."""

    found: Map
    figure: dict[str, Any]
    said: str
    none: tuple[str, ...]
    """The cards that no point fits."""
    least: int
    """Bytes that the smallest point needs at worst."""


def answer(scenario: Json, x: Axis, y: Axis, machine: Machine | None = None) -> Map:
    """The map; remembered, unless it is about a GPU of this machine."""
    asked = _question(scenario, x, y)
    return _remembered(asked, x.key, y.key) if machine is None else _fresh(asked, x.key, y.key, machine)


def _question(scenario: Json, x: Axis, y: Axis) -> str:
    """The scenario as text, the same for every value of a field that the map sweeps over."""
    for axis in (x, y):
        if axis.sweeps:
            scenario = axis.set(scenario, axis.values[0])
    return json.dumps(scenario)


def _fresh(asked: str, x: str, y: str, machine: Machine | None = None) -> Map:
    scenario = json.loads(asked)
    known = axes(scenario)
    return grid(scenario, known[x], known[y], None, None, True, False, Shared(machine=machine))


_remembered = lru_cache(maxsize=64)(_fresh)


def picture(
    scenario: Json, x: Axis, y: Axis, limits: Sequence[Limit], kind: str, machine: Machine | None = None
) -> Picture:
    """The map of a scenario as a picture, remembered as the map is, with the visitor's point on it."""
    found = answer(scenario, x, y, machine)
    now = place_of(scenario, found)
    shape = map_figures.near(found, limits, now)
    if machine is None:
        drawn = _pictured(_question(scenario, x, y), x.key, y.key, tuple(limits), kind, shape)
    else:
        drawn = _picture(found, tuple(limits), kind, shape)
    if kind == KINDS[0] and now is not None:
        figure = map_figures.marked(drawn.figure, now)
        return Picture(drawn.found, figure, drawn.said, drawn.none, drawn.least)
    return drawn


@lru_cache(maxsize=64)
def _pictured(asked: str, x: str, y: str, limits: tuple[Limit, ...], kind: str, shape: Point) -> Picture:
    return _picture(_remembered(asked, x, y), limits, kind, shape)


def _picture(found: Map, limits: tuple[Limit, ...], kind: str, shape: Point) -> Picture:
    found = map_figures.cut(found, shape)
    figure = map_figures.heat_map(found, limits) if kind == KINDS[0] else map_figures.curves(found, limits)
    none = tuple(limit.name for limit in limits if not map_figures.fits(found, limit).any())
    least = int(found.high[found.high != REFUSED].min(initial=2**62))
    return Picture(found, figure, map_figures.words(found, limits), none, least)


def place_of(scenario: Json, found: Map) -> Point | None:
    """The current scenario's cell (row, column), if it is on the map."""
    try:
        filled = understood(scenario, False)
    except MemcalcError:
        return None
    now = []
    for axis, values in ((found.y, found.ys), (found.x, found.xs)):
        value = get(filled, axis.path)
        if value not in values:
            return None
        now.append(values.index(value))
    return now[0], now[1]


def table(found: Map) -> list[dict[str, str]]:
    """The points as rows of text."""
    listed = []
    for i, y in enumerate(found.ys):
        row = {found.y.title: found.y.name(y)}
        for j, x in enumerate(found.xs):
            size = int(found.point[i, j])
            row[found.x.name(x)] = "–" if size == REFUSED else units.binary(size)
        listed.append(row)
    return listed
