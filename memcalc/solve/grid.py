"""A scenario over any two fields: what a heat map shows, with the breakdown of each point.

Batch and lengths are swept as arrays; over anything else there is one sweep (or one estimate) for each value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memcalc.components import COMPONENTS
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.estimate import estimate
from memcalc.shared import Shared
from memcalc.solve.axes import Axis
from memcalc.solve.verdict import understood
from memcalc.sweep import Sweep, sweep, sweep_components

Grid = NDArray[np.int64]
REFUSED = -1
"""In place of bytes where the scenario is impossible."""
MOST_ALONE = 400
"""Points of a grid without an axis that can be swept: each is an estimate of its own."""
MOST_ROWS = 60


@dataclass(frozen=True)
class Map:
    """Bytes on the device over two axes (low, point, high; REFUSED where impossible), rows along ``y``. ``components``
    at each point's highest instant, with ``overhead`` (device minus tensors) beside them, if asked for. ``refusals``:
    the different reasons why points are impossible."""

    x: Axis
    y: Axis
    xs: tuple[Any, ...]
    ys: tuple[Any, ...]
    low: Grid
    point: Grid
    high: Grid
    components: dict[str, Grid] | None
    refusals: tuple[str, ...]


def grid(
    scenario: Mapping[str, Any],
    x: Axis,
    y: Axis,
    xs: Sequence[Any] | None = None,
    ys: Sequence[Any] | None = None,
    components: bool = False,
    allow_files: bool = True,
    shared: Shared | None = None,
) -> Map:
    """Evaluate ``scenario`` over ``xs`` (columns) and ``ys`` (rows), the axes' usual values if not given.
    A scenario that is impossible everywhere is refused with its own reason.

    >>> asked = {"model": "gpt2", "task": "train", "hardware": {"gpu": "24GB"}}
    >>> from memcalc.solve.axes import axis
    >>> grid(asked, axis(asked, "batch"), axis(asked, "precision"), [1, 2]).point.shape
    (7, 2)
    """
    if x.key == y.key:
        raise ScenarioError("the two axes must differ", "axis")
    run = _Run(
        x,
        y,
        tuple(x.values if xs is None else xs),
        tuple(y.values if ys is None else ys),
        components,
        allow_files,
        shared or Shared(),
    )
    asked, refused = dict(scenario), None
    try:
        asked = understood(scenario, allow_files)
    except MemcalcError as error:  # it may be impossible where it stands and possible elsewhere on the map
        refused = error
    found = run.run(asked)
    if refused is not None and not (found.point != REFUSED).any():
        raise refused
    return found


class _Run:
    """One map while it is filled."""

    def __init__(
        self,
        x: Axis,
        y: Axis,
        xs: tuple[Any, ...],
        ys: tuple[Any, ...],
        components: bool,
        allow_files: bool,
        shared: Shared,
    ) -> None:
        self.x, self.y, self.xs, self.ys = x, y, xs, ys
        self.allow_files, self.shared = allow_files, shared
        shape = (len(ys), len(xs))
        self.low, self.point, self.high = (np.full(shape, REFUSED, np.int64) for _ in range(3))
        self.parts: dict[str, Grid] | None = None
        if components:
            self.parts = {name: np.zeros(shape, np.int64) for name in (*COMPONENTS, "overhead")}
        self.refusals: dict[str, None] = {}

    def run(self, asked: dict[str, Any]) -> Map:
        if self.x.sweeps and self.y.sweeps:
            self._both(asked)
        elif self.x.sweeps or self.y.sweeps:
            self._lines(asked)
        else:
            self._points(asked)
        return Map(self.x, self.y, self.xs, self.ys, self.low, self.point, self.high, self.parts, tuple(self.refusals))

    def _both(self, asked: dict[str, Any]) -> None:
        """Both axes in one sweep; where the model has no such positions, without the longest."""
        xs, ys = list(self.xs), list(self.ys)
        while xs and ys:
            try:
                found = self._sweep(asked, {self.y.sweeps: ys, self.x.sweeps: xs})
            except MemcalcError as error:
                self.refusals[error.message] = None
                if self._is_length(self.x):
                    xs.remove(max(xs))
                elif self._is_length(self.y):
                    ys.remove(max(ys))
                else:
                    return
                continue
            rows = [self.ys.index(value) for value in ys]
            columns = [self.xs.index(value) for value in xs]
            self._fill(np.ix_(rows, columns), found)
            return

    @staticmethod
    def _is_length(axis: Axis) -> bool:
        return axis.sweeps != "batch"

    def _lines(self, asked: dict[str, Any]) -> None:
        """One sweep for each value of the axis that cannot be swept."""
        swept, other = (self.x, self.y) if self.x.sweeps else (self.y, self.x)
        along, across = (self.xs, self.ys) if self.x.sweeps else (self.ys, self.xs)
        if len(across) > MOST_ROWS:
            raise ScenarioError(f"at most {MOST_ROWS} values of {other.title}, please", "axis")
        for line, value in enumerate(across):
            values = sorted(along)
            while values:
                try:
                    found = self._sweep(other.set(asked, value), {swept.sweeps: values})
                except MemcalcError as error:
                    self.refusals[error.message] = None
                    values = values[:-1] if self._is_length(swept) else []
                    continue
                places = [along.index(one) for one in values]
                self._fill((line, places) if self.x.sweeps else (places, line), found)
                break

    def _points(self, asked: dict[str, Any]) -> None:
        """One estimate a point."""
        if len(self.xs) * len(self.ys) > MOST_ALONE:
            raise ScenarioError(f"at most {MOST_ALONE} points over these two, please", "axis")
        for (row, y), (column, x) in product(enumerate(self.ys), enumerate(self.xs)):
            try:
                found = estimate(self.x.set(self.y.set(asked, y), x), self.allow_files, self.shared.machine)
            except MemcalcError as error:
                self.refusals[error.message] = None
                continue
            self.low[row, column], self.high[row, column] = found.range["device"]
            self.point[row, column] = found.peak["device"]
            if self.parts is not None:
                for name in COMPONENTS:
                    self.parts[name][row, column] = found.at_peak[name]
                self.parts["overhead"][row, column] = found.peak["device"] - found.peak["tensors"]

    def _sweep(self, asked: dict[str, Any], over: dict[str, list[int]]) -> Sweep:
        run = sweep if self.parts is None else sweep_components
        return run(asked, self.allow_files, self.shared.machine, **over)

    def _fill(self, where: Any, found: Sweep) -> None:
        self.low[where], self.point[where], self.high[where] = found.device_low, found.device, found.device_high
        if self.parts is not None and found.components is not None:
            for name in COMPONENTS:
                self.parts[name][where] = found.components[name]
            self.parts["overhead"][where] = found.device - found.tensors
