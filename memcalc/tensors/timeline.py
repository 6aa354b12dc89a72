"""From events to memory: segments composed, equal blocks repeated, the peak read off.

A stretch of the tape is a pair (net change, peak above its start). One after another they compose as
(n1 + n2, max(p1, n1 + p2)); R times over, as (R·n, p + max(0, (R - 1)·n)). All elementwise, so that one
run of a program answers a whole grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from memcalc.tensors.tape import Record, Size, Tape


def largest(a: Size, b: Size) -> Size:
    """The larger, elementwise where either is an array."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.maximum(a, b)
    return a if a >= b else b


@dataclass(slots=True)
class Segment:
    """One run of sections that repeat together: ``deltas`` are (signed weight, record) in order of time."""

    phase: str
    label: str
    repeat: int
    section: int = 0
    deltas: list[tuple[int, Record]] = field(default_factory=list)
    net: Size = 0
    peak: Size = 0
    nets: dict[str, int] | None = None

    def measure(self) -> None:
        """Sum up: the level after it, and the highest level within it (at least 0), from a start at 0."""
        level: Size = 0
        peak: Size = 0
        for weight, record in self.deltas:
            level = level + (record.bytes if weight == 1 else weight * record.bytes)
            if weight > 0:
                peak = largest(peak, level)
        self.net, self.peak = level, peak

    def component_nets(self) -> dict[str, int]:
        """The net change of one repetition, by component (of one estimate, not of a grid)."""
        if self.nets is None:
            self.nets = component_sum(self.deltas)
        return self.nets

    @property
    def total_net(self) -> Size:
        return self.net if self.repeat == 1 else self.repeat * self.net

    @property
    def total_peak(self) -> Size:
        if self.repeat == 1:
            return self.peak
        return self.peak + largest(0, (self.repeat - 1) * self.net)


def component_sum(deltas: list[tuple[int, Record]]) -> dict[str, int]:
    """Signed bytes by component."""
    totals: dict[str, int] = {}
    for weight, record in deltas:
        totals[record.component] = totals.get(record.component, 0) + weight * record.bytes
    return totals


def segments(tape: Tape, end: int | None = None) -> list[Segment]:
    """The tape's events as segments, up to event ``end``.

    A death outside the blocks stands for every repetition of the block in which the storage was born; a
    death inside a block is that repetition's own (or its neighbour's, handed on: equally large).
    """
    events = tape.events if end is None else tape.events[:end]
    sections = tape.sections
    records = tape.records
    found: list[Segment] = []
    group: tuple[str, int] | None = None
    for number, section in enumerate(sections):
        stop = sections[number + 1].start if number + 1 < len(sections) else len(events)
        key = None if section.group is None else (section.phase, section.group)
        if key is None or key != group:
            found.append(Segment(section.phase, section.label, section.repeat, number))
        group = key
        deltas = found[-1].deltas
        inside = section.group is not None
        for event in events[section.start : stop]:
            if event >= 0:
                deltas.append((1, records[event]))
            else:
                record = records[~event]
                deltas.append((-1 if inside else -sections[record.section].repeat, record))
    for one in found:
        one.measure()
    return found


@dataclass(frozen=True, slots=True)
class Instant:
    """One point of the timeline, as deep into the segments as needed to find it again."""

    segment: int
    repetition: int
    event: int


def climb(parts: list[Segment], level: Size = 0) -> tuple[Size, Size]:
    """Run ``parts`` from ``level``: (level afterwards, highest level on the way)."""
    peak = level
    for one in parts:
        peak = largest(peak, level + one.total_peak)
        level = level + one.total_net
    return level, peak


def summit(parts: list[Segment], floor: int = 0) -> Instant | None:
    """The highest instant of ``parts`` (the first, if several), or None if nothing rises above ``floor``, the
    level before them: for one estimate, not for grids."""
    level, best, where = 0, floor, -1
    for number, one in enumerate(parts):
        if level + one.total_peak > best:
            best, where = level + one.total_peak, number
        level += one.total_net
    if where < 0:
        return None
    one = parts[where]
    repetition = one.repeat - 1 if one.net > 0 else 0
    inner, best, event = 0, -1, -1
    for i, (weight, record) in enumerate(one.deltas):
        inner += weight * record.bytes
        if weight > 0 and inner > best:
            best, event = inner, i
    return Instant(where, repetition, event)


def alive(parts: list[Segment], instant: Instant) -> Iterator[tuple[int, Record]]:
    """The storages alive at ``instant`` with how many of each there are (equal ones of repeated blocks)."""
    counts: dict[int, int] = {}
    records: dict[int, Record] = {}

    def apply(one: Segment, stop: int, times: int) -> None:
        for weight, record in one.deltas[:stop]:
            key = id(record)
            records[key] = record
            counts[key] = counts.get(key, 0) + weight * times

    for one in parts[: instant.segment]:
        apply(one, len(one.deltas), one.repeat)
    last = parts[instant.segment]
    if instant.repetition:
        apply(last, len(last.deltas), instant.repetition)
    apply(last, instant.event + 1, 1)
    return ((count, records[key]) for key, count in counts.items() if count)
