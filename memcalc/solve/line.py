"""Memory over the batch as a straight line: a fixed part, and so much for each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NEAR: Final = 0.01
"""How far a size may be from the line and still be on it: the allocator rounds."""


@dataclass(frozen=True, slots=True)
class Line:
    """The line ``fixed + slope × batch`` (bytes), and the first batch from which on sizes are on it. Before that
    something else decides that does not grow with the batch, as an optimizer step does."""

    fixed: float
    slope: float
    straight_from: int

    def at(self, batch: int) -> float:
        return self.fixed + self.slope * batch

    def holds(self, batch: int, size: float) -> bool:
        """Whether a size is the line's."""
        return abs(self.at(batch) - size) <= NEAR * size


def through(sizes: Sequence[int]) -> Line:
    """The straight line through the upper half of ``sizes``, the device memory for each batch from 1 on (at least 2):
    where the batch is large, what grows with it decides.

    >>> through([max(130, 100 + 7 * batch) for batch in range(1, 61)])
    Line(fixed=100.0, slope=7.0, straight_from=5)
    """
    middle, last = len(sizes) // 2, len(sizes)
    slope = (sizes[-1] - sizes[middle - 1]) / (last - middle)
    line = Line(sizes[-1] - slope * last, slope, last)
    start = last
    while start > 1 and line.holds(start - 1, sizes[start - 2]):
        start -= 1
    return Line(line.fixed, slope, start)
