"""The edge between what fits and what does not, along one whole number.

Why one edge is enough: along a batch, a length or a rank every tensor of a program is a product of sizes, rounded up
to 512 bytes, so none becomes smaller; what is alive at an instant is the same list of tensors, so no instant becomes
lower, and neither does the highest. What the allocator adds follows a fitted curve. This holds as long as the program
takes one path. It takes another at a batch or a length of 1 (reshapes copy or not) and where a window is full, and a
chunk of the fused loss is a power of two. There a larger value may need less; the caller looks at a grid above the edge
and says so. In any case the value found fits, and the next does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memcalc.errors import MemcalcError

PATIENCE = 20
"""Looks after which the straight line is given up for halves: a curve with a knee can keep it guessing."""
Excess = Callable[[int], int]
"""Bytes above the limit at a value; MemcalcError where the value is impossible."""


@dataclass(frozen=True, slots=True)
class Edge:
    """``value`` fits and ``value + 1`` does not; ``low - 1`` where nothing fits. ``why``: what ends the values, where
    it is not memory (``value + 1`` is then impossible, or is more than was asked for)."""

    value: int
    looked: int
    why: str = ""


def edge(excess: Excess, low: int, high: int) -> Edge:
    """The largest value from ``low`` to ``high`` with ``excess`` of at most 0.

    Memory is nearly a straight line, so each look is where the line through the last two would cross the limit; halves
    where that does not close in. Errors at ``low`` are the caller's; further up they mean that the values end.

    >>> edge(lambda batch: 7 * batch - 1000, 1, 10_000).value
    142
    """
    search = _Search(excess, low, high)
    if search.look(low, first=True) > 0:
        return Edge(low - 1, search.looked)
    while search.bad - search.good > 1:
        search.look(search.guess())
    ended = search.bad > high
    why = f"no more than {high:,} were asked for" if ended else search.refused.get(search.bad, "")
    return Edge(search.good, search.looked, why)


class _Search:
    """What is known: the largest value that fits, the smallest that does not, and the points looked at."""

    def __init__(self, excess: Excess, low: int, high: int) -> None:
        self.excess = excess
        self.good, self.bad = low, high + 1
        self.known: dict[int, int] = {}
        self.refused: dict[int, str] = {}
        self.looked = 0
        self.slow = 0

    def look(self, value: int, first: bool = False) -> int:
        before = self.bad - self.good
        self.looked += 1
        try:
            found = self.known[value] = self.excess(value)
        except MemcalcError as error:
            if first:
                raise
            self.refused[value] = error.message
            found = 1
        if found <= 0:
            self.good = value
        elif not first:
            self.bad = value
        self.slow = self.slow + 1 if (self.bad - self.good) * 2 > before and self.bounded else 0
        return found

    @property
    def bounded(self) -> bool:
        """Whether a value that does not fit is known."""
        return self.bad in self.known or self.bad in self.refused

    def guess(self) -> int:
        """Where to look next, between the two."""
        low, high = self.good + 1, self.bad - 1
        if len(self.known) == 1 and not self.bounded:
            return low
        crossing = self._crossing()
        if not self.bounded:
            leap = crossing is None or self.looked > PATIENCE // 2
            return min(high, max(low, crossing or 0, 8 * self.good if leap else 0))
        if self.looked > PATIENCE:
            return (low + high) // 2
        if crossing is None or self.slow >= 2 or (crossing > high and self.bad in self.refused):
            self.slow = 0
            # Of wide stretches the geometric middle, since most edges lie low.
            middle = round((low * high) ** 0.5) if high > 16 * low else (low + high) // 2
            return max(low, min(high, middle))
        return max(low, min(high, crossing))

    def _crossing(self) -> int | None:
        """The last value that fits if memory is the straight line through the two nearest points of different
        memory; None if there are no two."""
        one = self.good
        others = [value for value, found in self.known.items() if found != self.known[one]]
        if not others:
            return None
        other = min(others, key=lambda value: abs(value - one))
        slope = (self.known[other] - self.known[one]) / (other - one)
        return None if slope <= 0 else one + int(-self.known[one] / slope)
