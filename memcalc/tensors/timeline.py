"""From events to memory: segments composed, equal blocks repeated, the peak read off.

A stretch of the tape is a pair (net change, peak above its start). One after another they compose as
(n1 + n2, max(p1, n1 + p2)); R times over, as (R·n, p + max(0, (R - 1)·n)). All elementwise, so that one
run of a program answers a whole grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from memcalc.tensors.tape import Record, Size, Tape


def largest(a: Size, b: Size) -> Size:
    """The larger, elementwise where either is an array."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.maximum(a, b)
    return a if a >= b else b


@dataclass(slots=True)
class Segment:
    """One run of sections that repeat together. ``steps`` are the signed bytes of its events in order of time
    (births positive), ``records`` the storages that they belong to."""

    phase: str
    label: str
    repeat: int
    section: int = 0
    steps: list[Size] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    net: Size = 0
    peak: Size = 0
    nets: dict[str, int] | None = None

    def measure(self) -> None:
        """Sum up: the level after it, and the highest level within it (at least 0), from a start at 0."""
        if not any(isinstance(one, np.ndarray) for one in self.steps):
            levels = list(accumulate(self.steps, initial=0))
            self.net, self.peak = levels[-1], max(levels)
            return
        level: Size = 0
        peak: Size = 0
        for step, record in zip(self.steps, self.records, strict=True):
            level = level + step
            if step is record.bytes:  # a birth: only then can the level be a new peak
                peak = largest(peak, level)
        self.net, self.peak = level, peak

    def component_nets(self) -> dict[str, int]:
        """The net change of one repetition, by component (of one estimate, not of a grid)."""
        if self.nets is None:
            self.nets = self.component_sum(len(self.steps))
        return self.nets

    def component_sum(self, stop: int) -> dict[str, int]:
        """Signed bytes of the first ``stop`` events, by component."""
        totals: dict[str, int] = {}
        for step, record in zip(self.steps[:stop], self.records, strict=False):
            name = record.component
            totals[name] = totals.get(name, 0) + step
        return totals

    def sums(self) -> Segment:
        """The segment without its events: what it changes, and how high it rises."""
        return Segment(self.phase, self.label, self.repeat, self.section, net=self.net, peak=self.peak)

    @property
    def total_net(self) -> Size:
        return self.net if self.repeat == 1 else self.repeat * self.net

    @property
    def total_peak(self) -> Size:
        if self.repeat == 1:
            return self.peak
        return self.peak + largest(0, (self.repeat - 1) * self.net)


def segments(tape: Tape) -> list[Segment]:
    """The tape's events so far as segments.

    A death outside the blocks stands for every repetition of the block in which the storage was born; a
    death inside a block is that repetition's own (or its neighbour's, handed on: equally large).
    """
    events, sections, records = tape.events, tape.sections, tape.records
    sizes = [one.bytes for one in records]
    found: list[Segment] = []
    group: tuple[str, int] | None = None
    end = len(events)
    for number, section in enumerate(sections):
        stop = sections[number + 1].start if number + 1 < len(sections) else end
        key = None if section.group is None else (section.phase, section.group)
        if key is None or key != group:
            found.append(Segment(section.phase, section.label, section.repeat, number))
        group = key
        span = events[section.start : stop]
        last = found[-1]
        if section.group is not None:
            last.steps += [sizes[e] if e >= 0 else -sizes[~e] for e in span]
        else:
            last.steps += [sizes[e] if e >= 0 else -sections[records[~e].section].repeat * sizes[~e] for e in span]
        last.records += [records[e] if e >= 0 else records[~e] for e in span]
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
    for i, step in enumerate(one.steps):
        inner += step
        if step > 0 and inner > best:
            best, event = inner, i
    return Instant(where, repetition, event)


def alive(parts: list[Segment], instant: Instant) -> Iterator[tuple[int, Record]]:
    """The storages alive at ``instant`` with how many of each there are (equal ones of repeated blocks)."""
    counts: dict[int, int] = {}
    records: dict[int, Record] = {}

    def apply(one: Segment, stop: int, times: int) -> None:
        for step, record in zip(one.steps[:stop], one.records, strict=False):
            if step:
                key = id(record)
                records[key] = record
                counts[key] = counts.get(key, 0) + step // record.bytes * times

    for one in parts[: instant.segment]:
        apply(one, len(one.steps), one.repeat)
    last = parts[instant.segment]
    if instant.repetition:
        apply(last, len(last.steps), instant.repetition)
    apply(last, instant.event + 1, 1)
    return ((count, records[key]) for key, count in counts.items() if count)
