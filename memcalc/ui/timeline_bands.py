"""A timeline turned into what its chart shows: bands for the phases, and in them a step for each block.

The axis is the order of things, not the clock. Every phase has a band of a fixed width, so that the one
instant of an optimizer step is as easy to see as a backward pass over eighty blocks; and the same phase
looks alike for every model. Where a band has more blocks than fit, neighbouring equal blocks share a step
at the level of the highest of them: no peak is ever smoothed away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from memcalc.explain import Point
from memcalc.ui.colours import COMPONENTS, OVERHEAD

#: Widths of the bands, in units of the axis.
WIDTHS = {"load": 1.3, "optimizer": 1.9}
USUAL_WIDTH, GAP = 5.0, 0.22
#: Steps in a band at most.
MOST = 36
#: Phases that go from the last block to the first.
_BACKWARDS = ("backward",)
_REPEATED = re.compile(r"(blocks? (\d+)(?:–(\d+))?) \((\d+) of (\d+)\)")


@dataclass(frozen=True)
class Step:
    """One block (or several equal ones) in one phase: its highest instant, in bytes by component."""

    label: str
    parts: dict[str, int]
    left: float
    width: float
    highest: bool = False

    @property
    def middle(self) -> float:
        return self.left + self.width / 2

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Band:
    """One phase of one step of the run."""

    phase: str
    step: int
    title: str
    left: float
    width: float
    steps: tuple[Step, ...]

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> Step:
        return max(self.steps, key=lambda one: (one.highest, one.total))


@dataclass(frozen=True)
class Strip:
    """The whole run."""

    task: str
    bands: tuple[Band, ...]

    @property
    def right(self) -> float:
        return self.bands[-1].right

    @property
    def steps(self) -> list[Step]:
        return [step for band in self.bands for step in band.steps]

    @property
    def peak(self) -> tuple[Band, Step]:
        """Where the run is highest."""
        return next((band, step) for band in self.bands for step in band.steps if step.highest)

    @property
    def parts(self) -> list[str]:
        """Components that are alive at some instant, in stacking order, overhead last."""
        return [part for part in (*COMPONENTS, OVERHEAD) if any(step.parts.get(part) for step in self.steps)]

    @property
    def turns(self) -> list[tuple[str, float, float]]:
        """What is to be written over the bands of a training step: name, from, to."""
        if self.task != "train":
            return []
        turns = []
        for number, group in groupby((one for one in self.bands if one.phase != "load"), key=lambda one: one.step):
            bands = list(group)
            turns.append(("first step" if number == 1 else "every later step", bands[0].left, bands[-1].right))
        return turns


def strip(points: Sequence[Point], peak: int, task: str, overhead: int) -> Strip:
    """Lay ``points`` out; ``peak`` is the index of the highest, ``overhead`` stands on top of every one.

    Where a phase begins there may be a point named ``load`` with nothing but what was there before; it is no
    block and is left out, unless it is the highest.
    """
    bands: list[Band] = []
    left = 0.0
    numbered = list(enumerate(points))
    runs = [list(group) for _, group in groupby(numbered, key=lambda one: (one[1].phase, one[1].step))]
    for run in runs:
        kept = [(i, one) for i, one in run if one.label != "load" or one.phase == "load" or i == peak]
        if not kept:
            continue
        first = kept[0][1]
        width = WIDTHS.get(first.phase, USUAL_WIDTH)
        merged = list(_merged([(one, i == peak) for i, one in kept]))
        each = width / len(merged)
        steps = tuple(
            Step(label, {**one.components, OVERHEAD: overhead}, left + k * each, each, highest)
            for k, (label, one, highest) in enumerate(merged)
        )
        bands.append(Band(first.phase, first.step, _title(first, bands), left, width, steps))
        left += width + GAP
    return Strip(task, tuple(bands))


def _title(point: Point, before: list[Band]) -> str:
    if point.phase != "decode":
        return point.phase
    return "first decode step" if all(band.phase != "decode" for band in before) else "last decode step"


def _merged(points: list[tuple[Point, bool]]) -> Iterator[tuple[str, Point, bool]]:
    """(label, its highest point, whether that is the run's peak) for each step of a band."""
    equal = [list(group) for _, group in groupby(points, key=lambda one: _family(one[0]))]
    alone = sum(1 for group in equal if len(group) == 1)
    many = len(points) - alone
    each = -(-many // max(1, MOST - alone)) if len(points) > MOST else 1
    for group in equal:
        for start in range(0, len(group), each):
            some = group[start : start + each]
            top, peak = max(some, key=lambda one: (one[1], one[0].total))
            yield _label([one for one, _ in some], top), top, peak


def _family(point: Point) -> str:
    found = _REPEATED.fullmatch(point.label)
    return found[1] if found else point.label


def block(point: Point) -> str:
    """What to call a point: ``blocks 2–31 (3 of 30)`` is block 4 on the way forward, block 29 on the way back."""
    found = _REPEATED.fullmatch(point.label)
    if not found:
        return point.label
    first, last = int(found[2]), int(found[3] or found[2])
    turn, turns = int(found[4]), int(found[5])
    if last - first + 1 != turns:  # a pattern of several layers, run again and again
        return f"{found[1]}, round {turn} of {turns}"
    return f"block {last - turn + 1 if point.phase in _BACKWARDS else first + turn - 1}"


def _label(points: list[Point], top: Point) -> str:
    if len(points) == 1:
        return block(top)
    numbers = [re.fullmatch(r"block (\d+)", block(one)) for one in points]
    if all(numbers):
        first, last = (int(one[1]) for one in (numbers[0], numbers[-1]) if one)
        return f"blocks {first}–{last}, highest in {block(top)}"
    return f"{block(points[0])} to {block(points[-1])}"
