"""A whole run as stages: load, forward, backward, optimizer; prefill, decode; and what is read off them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.components import COMPONENTS
from memcalc.tensors.tape import Size
from memcalc.tensors.timeline import Instant, Segment, climb, largest, summit


@dataclass(slots=True)
class Stage:
    """A stretch of the run: its phase and step, what lives before it starts, and what runs in it.

    ``base``: bytes that live beside the tape's tensors, by component. ``before``: segments already run
    whose tensors may still live. ``temporary``: bytes on top of everything, at the stage's highest instant.
    """

    phase: str
    step: int
    base: dict[str, Size]
    parts: list[Segment]
    before: list[Segment]
    temporary: Size = 0

    @property
    def level(self) -> Size:
        """Bytes alive when it starts."""
        level: Size = sum(self.base.values())
        for one in self.before:
            level = level + one.total_net
        return level

    @property
    def peak(self) -> Size:
        """Bytes at its highest instant."""
        return climb(self.parts, self.level)[1] + self.temporary


def highest(stages: Sequence[Stage]) -> Size:
    """The highest instant of the whole run, elementwise over a grid."""
    peak: Size = 0
    for one in stages:
        peak = largest(peak, one.peak)
    return peak


def moved(stages: Sequence[Stage]) -> tuple[Size, Size]:
    """What is allocated and freed again and again, bytes, elementwise over a grid: how far a forward pass, a prefill or
    a decode step climbs above the level at which it starts, at most; and the same of a single block, or the head, in
    either direction."""
    swing: Size = 0
    block: Size = 0
    for stage in stages:
        if stage.phase in ("forward", "prefill", "decode"):
            swing = largest(swing, climb(stage.parts)[1])
        for one in stage.parts:
            block = largest(block, one.peak)
    return swing, block


def instant(stage: Stage) -> Instant | None:
    """Where within the stage its highest instant lies; None if that is its start."""
    return summit(stage.parts)


def breakdown(stage: Stage) -> dict[str, int]:
    """Bytes by component at the stage's highest instant; sums to ``stage.peak``."""
    totals = dict.fromkeys(COMPONENTS, 0)
    for name, size in stage.base.items():
        totals[name] += size
    _add_nets(totals, stage.before)
    found = instant(stage)
    if found is not None:
        _add_nets(totals, stage.parts[: found.segment])
        last = stage.parts[found.segment]
        _add(totals, last.component_nets(), found.repetition)
        _add(totals, last.component_sum(found.event + 1), 1)
    totals["temporary"] += stage.temporary
    return totals


def _add_nets(totals: dict[str, int], parts: list[Segment]) -> None:
    for one in parts:
        _add(totals, one.component_nets(), one.repeat)


def _add(totals: dict[str, int], more: dict[str, int], times: int) -> None:
    if times:
        for name, size in more.items():
            totals[name] += size * times


def component_peaks(stages: Sequence[Stage]) -> dict[str, int]:
    """Each component's own largest value, at whatever instant."""
    best = dict.fromkeys(COMPONENTS, 0)
    measured: dict[int, dict[str, tuple[int, int]]] = {}
    for stage in stages:
        levels = dict.fromkeys(COMPONENTS, 0)
        for name, size in stage.base.items():
            levels[name] += size
        _add_nets(levels, stage.before)
        for name in COMPONENTS:
            best[name] = max(best[name], levels[name])
        best["temporary"] = max(best["temporary"], levels["temporary"] + stage.temporary)
        for one in stage.parts:
            climbs = measured.get(id(one))
            if climbs is None:
                climbs = measured[id(one)] = _component_climbs(one)
            for name, (net, peak) in climbs.items():
                best[name] = max(best[name], levels[name] + peak + max(0, (one.repeat - 1) * net))
                levels[name] += one.repeat * net
    return best


def _component_climbs(one: Segment) -> dict[str, tuple[int, int]]:
    """(net change, peak above the start) of each component within one repetition."""
    nets: dict[str, int] = {}
    peaks: dict[str, int] = {}
    for step, record in zip(one.steps, one.records, strict=True):
        name = record.component
        net = nets[name] = nets.get(name, 0) + step
        if net > peaks.get(name, 0):
            peaks[name] = net
    return {name: (net, peaks.get(name, 0)) for name, net in nets.items()}
