"""What a serving runtime holds, as terms with ranges, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memcalc.hardware.fit import Device
from memcalc.tensors.tape import rounded

Term = tuple[int, int, int]
"""(low, point, high) in bytes."""


def exact(size: int) -> Term:
    """A term without a range."""
    return size, size, size


def plus(*terms: Term) -> Term:
    """The sum, ends with ends."""
    return sum(one[0] for one in terms), sum(one[1] for one in terms), sum(one[2] for one in terms)


@dataclass(frozen=True, slots=True)
class Served:
    """A runtime's memory on one card, in bytes.

    ``needed_cache`` is what the sequences asked for (and the longest allowed one) take; ``cache`` what the runtime
    allocates, which may be all that is left. ``beside``: reserved but not for tensors (CUDA graphs); ``outside``:
    context, libraries. ``limit``: the budget that the runtime keeps to on the card (None without a card), and
    ``uncounted`` what of the rest it does not count towards it. ``report``: Estimate.runtime. ``settings``: the
    runtime's, with its defaults filled in. ``filled``: what the driver shows where the cache fills all that is left,
    so that an error in one term is made good by another.
    """

    weights: int
    cache: int
    needed_cache: int
    buffer: Term
    beside: Term
    outside: Term
    limit: int | None
    report: dict[str, Any]
    settings: dict[str, Any]
    assumptions: tuple[str, ...]
    uncounted: Term = (0, 0, 0)
    filled: Term | None = None

    @property
    def tensors(self) -> Term:
        """Weights, cache and buffer."""
        return plus(exact(self.weights + self.cache), self.buffer)

    @property
    def reserved(self) -> Term:
        return plus(self.tensors, self.beside)

    @property
    def device(self) -> Term:
        """What the driver shows for the process."""
        return self.filled or plus(self.reserved, self.outside)

    @property
    def needed(self) -> Term:
        """What must be within ``limit``: with the cache that the scenario needs, not the one that fills the card."""
        whole = plus(exact(self.weights + self.needed_cache), self.buffer, self.beside, self.outside)
        less = self.uncounted
        return whole[0] - less[0], whole[1] - less[1], whole[2] - less[2]

    def judged(self, room: int) -> Term:
        """What to hold against ``room`` bytes of the card. Where the runtime's own limit is lower and the need may not
        be within it, the need is raised by the difference: a server that refuses to start does not fit."""
        limit = room if self.limit is None else min(room, self.limit)
        needed = self.needed
        if needed[2] <= limit:
            return self.device
        less = room - limit
        return needed[0] + less, needed[1] + less, needed[2] + less


def torch_total(device: Device) -> int:
    """What torch sees as the card's memory: what the driver reports minus what it keeps."""
    return device.total - device.driver_keeps


def aligned(size: int) -> int:
    """As torch's allocator hands it out."""
    return int(rounded(size))
