"""An event log of tensors replayed through torch's CUDA caching allocator: what would be reserved, not only live.

Pure arithmetic on sizes; no torch. The rules are those of c10/cuda/CUDACachingAllocator.cpp with default settings
(unlimited ``max_split_size``, no expandable segments); constants from c10/core/AllocatorConfig.h:

* A request is rounded up to 512 bytes. Up to 1 MiB it is served from the small pool, else from the large one.
* The smallest free block of the pool that is large enough is taken, the one with the lowest address among equals.
* Without one, a segment is asked of the driver: 2 MiB for the small pool; 20 MiB for requests below 10 MiB; else
  the request rounded up to 2 MiB.
* A block is split if what remains is at least 512 bytes (small pool) or more than 1 MiB (large pool); otherwise the
  tensor keeps the whole block, and that counts as allocated.
* A freed block joins its free neighbours in the segment. Segments stay reserved. Only when the device is full are
  segments without a single live block given back, all of them, and the request tried once more.

* Each stream has free blocks and segments of its own.

Not simulated: workspaces of libraries, the order of addresses that the driver hands out (segments are taken to lie at
increasing addresses), a block that another stream still uses when it is freed.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MIN_BLOCK = 512
"""Smallest block, bytes (kMinBlockSize)."""
SMALL_SIZE = 1 << 20
"""Largest request of the small pool, bytes (kSmallSize)."""
SMALL_SEGMENT = 2 << 20
"""Segment of the small pool, bytes (kSmallBuffer)."""
LARGE_SEGMENT = 20 << 20
"""Segment that serves requests between 1 and 10 MiB, bytes (large_segment_size)."""
OWN_SEGMENT_FROM = 10 << 20
"""Requests from this size on get a segment of their own, bytes (kMinLargeAlloc)."""
SEGMENT_STEP = 2 << 20
"""Own segments are rounded up to a multiple of this, bytes (kRoundLarge)."""


@dataclass(frozen=True)
class Replay:
    """What the simulated allocator went through. Sizes in bytes, times as indices of the event log.

    ``allocated`` counts whole blocks, as ``torch.cuda.max_memory_allocated`` does; ``tensors`` only what was asked
    for, rounded to 512. ``out_of_memory`` is the event that could not be served within the capacity, or None; the
    figures then describe the run up to it. ``cache_flushes`` counts how often free segments had to be given back.
    """

    reserved: int
    reserved_at: int
    allocated: int
    allocated_at: int
    tensors: int
    segments: int
    reserved_at_end: int
    cache_flushes: int
    out_of_memory: int | None

    @property
    def overhead(self) -> float:
        """Peak reserved over peak allocated; 1 where nothing was allocated."""
        return self.reserved / self.allocated if self.allocated else 1.0


class _Block:
    """A stretch of a segment; neighbours are linked so that free ones can be joined."""

    __slots__ = ("address", "free", "next", "previous", "segment_size", "size")

    def __init__(self, address: int, size: int, segment_size: int) -> None:
        self.address = address
        self.size = size
        self.segment_size = segment_size
        self.free = True
        self.previous: _Block | None = None
        self.next: _Block | None = None


class CachingAllocator:
    """The allocator's state: free blocks of both pools in the order in which they are searched."""

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.reserved = 0
        self.allocated = 0
        self.segments = 0
        self.flushes = 0
        self._frontier = 0  # the address at which the next segment is put
        self._free: dict[bool, list[tuple[int, int, _Block]]] = {True: [], False: []}

    def allocate(self, size: int) -> _Block | None:
        """A block for ``size`` bytes (a multiple of 512), or None when the capacity does not allow it."""
        small = size <= SMALL_SIZE
        block = self._take(size, small) or self._new_segment(segment_size(size))
        if block is None:
            self._flush()
            block = self._new_segment(segment_size(size))
        if block is None:
            return None
        rest = block.size - size
        if rest >= MIN_BLOCK if small else rest > SMALL_SIZE:
            self._split(block, size, small)
        block.free = False
        self.allocated += block.size
        return block

    def _split(self, block: _Block, size: int, small: bool) -> None:
        """Cut a block to ``size``; the rest is free."""
        tail = _Block(block.address + size, block.size - size, block.segment_size)
        tail.previous, tail.next = block, block.next
        if block.next is not None:
            block.next.previous = tail
        block.next, block.size = tail, size
        self._give(tail, small)

    def release(self, block: _Block) -> None:
        """Free a block: joined with its free neighbours, kept in its pool."""
        small = block.segment_size == SMALL_SEGMENT
        self.allocated -= block.size
        block.free = True
        for neighbour in (block.previous, block.next):
            if neighbour is not None and neighbour.free:
                self._withdraw(neighbour, small)
                first, second = (neighbour, block) if neighbour is block.previous else (block, neighbour)
                first.size += second.size
                first.next = second.next
                if second.next is not None:
                    second.next.previous = first
                block = first
        self._give(block, small)

    def _take(self, size: int, small: bool) -> _Block | None:
        pool = self._free[small]
        place = bisect.bisect_left(pool, size, key=lambda entry: entry[0])
        return pool.pop(place)[2] if place < len(pool) else None

    def _give(self, block: _Block, small: bool) -> None:
        bisect.insort(self._free[small], (block.size, block.address, block), key=lambda entry: entry[:2])

    def _withdraw(self, block: _Block, small: bool) -> None:
        pool = self._free[small]
        del pool[bisect.bisect_left(pool, (block.size, block.address), key=lambda entry: entry[:2])]

    def _new_segment(self, size: int) -> _Block | None:
        if self.capacity is not None and self.reserved + size > self.capacity:
            return None
        block = _Block(self._frontier, size, size)
        self._frontier += size
        self.reserved += size
        self.segments += 1
        return block

    def _flush(self) -> None:
        """Give segments without a live block back to the driver."""
        self.flushes += 1
        for small, pool in self._free.items():
            kept = [entry for entry in pool if entry[2].previous is not None or entry[2].next is not None]
            self.reserved -= sum(entry[0] for entry in pool) - sum(entry[0] for entry in kept)
            self.segments -= len(pool) - len(kept)
            self._free[small] = kept


class ExpandableAllocator(CachingAllocator):
    """The same with expandable segments: one range of addresses a pool that grows by whole pages, 2 MiB in the small
    pool and 20 MiB in the large one; a free block at its end is part of what the growth serves. Every block is split
    to size [c10/cuda/CUDACachingAllocator.cpp: try_allocate_expandable_block, should_split]."""

    def __init__(self, capacity: int | None = None) -> None:
        super().__init__(capacity)
        self._last: dict[bool, _Block | None] = {True: None, False: None}

    def allocate(self, size: int) -> _Block | None:
        """A block for ``size`` bytes (a multiple of 512), or None when the capacity does not allow it."""
        small = size <= SMALL_SIZE
        block = self._take(size, small) or self._grow(size, small)
        if block is None:
            return None
        if block.size - size >= MIN_BLOCK:
            self._split(block, size, small)
        block.free = False
        self.allocated += block.size
        return block

    def _give(self, block: _Block, small: bool) -> None:
        super()._give(block, small)
        if block.next is None:
            self._last[small] = block

    def _grow(self, size: int, small: bool) -> _Block | None:
        """Map pages at the end of the pool's range until ``size`` bytes are free there."""
        page = SMALL_SEGMENT if small else LARGE_SEGMENT
        last = self._last[small]
        there = last.size if last is not None and last.free else 0
        more = -(-(size - there) // page) * page
        if self.capacity is not None and self.reserved + more > self.capacity:
            return None
        self.reserved += more
        if last is not None and last.free:
            self._withdraw(last, small)
            last.size += more
            return last
        start = 0 if last is None else last.address + last.size
        block = _Block(start, more, page)
        block.previous = last
        if last is not None:
            last.next = block
        self.segments += last is None
        self._last[small] = block
        return block


def rounded(size: int) -> int:
    """A request as the allocator serves it: ``rounded(1) == 512``, ``rounded(513) == 1024``."""
    return max(MIN_BLOCK, -(-size // MIN_BLOCK) * MIN_BLOCK)


def segment_size(size: int) -> int:
    """Bytes asked of the driver for a (rounded) request that no free block can serve."""
    if size <= SMALL_SIZE:
        return SMALL_SEGMENT
    if size < OWN_SEGMENT_FROM:
        return LARGE_SEGMENT
    return -(-size // SEGMENT_STEP) * SEGMENT_STEP


def replay(
    events: Iterable[tuple[int, int]],
    capacity: int | None = None,
    expandable: bool = False,
    streams: Mapping[int, str] | None = None,
) -> Replay:
    """Replay ``(signed bytes, storage)`` events: positive allocates the storage, negative frees it.

    ``capacity``: bytes that each stream's memory may reserve; None for no limit. ``expandable``: with expandable
    segments. ``streams``: the streams of the storages that are not allocated on the usual one.

    >>> replay([(600, 0), (3 << 20, 1), (-600, 0)]).reserved == (2 << 20) + (20 << 20)
    True
    """
    make = ExpandableAllocator if expandable else CachingAllocator
    pools: dict[str, CachingAllocator] = {"": make(capacity)}
    of = streams or {}
    blocks: dict[int, tuple[CachingAllocator, _Block, int]] = {}
    live = tensors = 0
    reserved = allocated = reserved_at = allocated_at = segments = 0
    failed: int | None = None
    for time, (size, storage) in enumerate(events):
        if size > 0:
            wanted = rounded(size)
            name = of.get(storage, "")
            if name not in pools:
                pools[name] = make(capacity)
            pool = pools[name]
            block = pool.allocate(wanted)
            if block is None:
                failed = time
                break
            blocks[storage] = (pool, block, wanted)
            live += wanted
            tensors = max(tensors, live)
            held = sum(one.reserved for one in pools.values())
            if held > reserved:
                reserved, reserved_at, segments = held, time, sum(one.segments for one in pools.values())
            held = sum(one.allocated for one in pools.values())
            if held > allocated:
                allocated, allocated_at = held, time
        elif storage in blocks:
            pool, block, wanted = blocks.pop(storage)
            live -= wanted
            pool.release(block)
    return Replay(
        reserved=reserved,
        reserved_at=reserved_at,
        allocated=allocated,
        allocated_at=allocated_at,
        tensors=tensors,
        segments=segments,
        reserved_at_end=sum(one.reserved for one in pools.values()),
        cache_flushes=sum(one.flushes for one in pools.values()),
        out_of_memory=failed,
    )
