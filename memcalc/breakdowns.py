"""Components at the highest instant for every point of a grid: ``stages.breakdown``, elementwise.

The highest instant lies elsewhere from point to point, but only at a few places of the timeline. Each of those places
is summed up once, for all points at once, and every point takes the sums of its own place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memcalc.components import COMPONENTS
from memcalc.stages import Stage
from memcalc.tensors.tape import Size
from memcalc.tensors.timeline import Segment

Grid = NDArray[np.int64]
Mask = NDArray[np.bool_]


def breakdowns(stages: Sequence[Stage], shape: tuple[int, ...]) -> dict[str, Grid]:
    """Bytes of each component at each point's highest instant; they sum to the point's peak."""
    result = {name: np.zeros(shape, np.int64) for name in COMPONENTS}
    peaks = np.stack([np.broadcast_to(np.asarray(one.peak, np.int64), shape) for one in stages])
    highest = peaks.argmax(axis=0)
    for number in np.unique(highest):
        stage = stages[number]
        for mask, totals in _places(stage, highest == number, shape):
            for name in COMPONENTS:
                size = np.broadcast_to(np.asarray(totals[name], np.int64), shape)
                result[name][mask] = size[mask]
    return result


def _places(stage: Stage, where: Mask, shape: tuple[int, ...]) -> Iterator[tuple[Mask, dict[str, Size]]]:
    """The places within a stage at which its highest instant lies for some of the points ``where`` it is the highest
    stage, with the components there."""
    start: dict[str, Size] = dict.fromkeys(COMPONENTS, 0)
    _add(start, stage.base, 1)
    for one in stage.before:
        _add(start, one.component_nets(), one.repeat)
    segments = _segments(stage, shape)
    for number in np.unique(segments[where]):
        inside = where & (segments == number)
        if number < 0:
            yield inside, _with(start, {"temporary": stage.temporary})
            continue
        totals = _with(start, {})
        for one in stage.parts[:number]:
            _add(totals, one.component_nets(), one.repeat)
        last = stage.parts[number]
        repetitions = np.where(np.broadcast_to(np.asarray(last.net), shape) > 0, last.repeat - 1, 0)
        _add(totals, last.component_nets(), repetitions)
        events = _events(last, shape)
        for event in np.unique(events[inside]):
            found = _with(totals, last.component_sum(int(event) + 1))
            yield inside & (events == event), _with(found, {"temporary": stage.temporary})


def _segments(stage: Stage, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The segment in which the highest instant lies, for each point; -1: before the first."""
    level: Size = 0
    best = np.zeros(shape, np.int64)
    found = np.full(shape, -1, np.intp)
    for number, one in enumerate(stage.parts):
        there = np.broadcast_to(np.asarray(level + one.total_peak, np.int64), shape)
        higher = there > best
        best = np.where(higher, there, best)
        found[higher] = number
        level = level + one.total_net
    return found


def _events(segment: Segment, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The event after which a segment is highest, for each point."""
    inner = np.zeros(shape, np.int64)
    best = np.full(shape, -1, np.int64)
    found = np.full(shape, -1, np.intp)
    for number, step in enumerate(segment.steps):
        inner = inner + step
        higher = (np.asarray(step) > 0) & (inner > best)
        best = np.where(higher, inner, best)
        found[higher] = number
    return found


def _add(totals: dict[str, Size], more: dict[str, Any], times: Size) -> None:
    for name, size in more.items():
        totals[name] = totals[name] + size * times


def _with(totals: dict[str, Size], more: dict[str, Any]) -> dict[str, Size]:
    found = dict(totals)
    _add(found, more, 1)
    return found
