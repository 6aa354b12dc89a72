"""The simulated caching allocator against sequences worked out by hand.

Source of the rules: c10/cuda/CUDACachingAllocator.cpp and c10/core/AllocatorConfig.h of PyTorch.
"""

from __future__ import annotations

import random

import pytest

from memcalc.allocator.expand import replay_scenario
from memcalc.allocator.replay import CachingAllocator, replay, rounded, segment_size

MiB = 1 << 20


@pytest.mark.parametrize(("asked", "given"), [(1, 512), (512, 512), (513, 1024), (MiB, MiB), (MiB + 1, MiB + 512)])
def test_requests_are_rounded_to_512_bytes(asked: int, given: int) -> None:
    assert rounded(asked) == given


@pytest.mark.parametrize(
    ("request_size", "segment"),
    [
        (512, 2 * MiB),
        (MiB, 2 * MiB),  # still small
        (MiB + 512, 20 * MiB),
        (10 * MiB - 512, 20 * MiB),
        (10 * MiB, 10 * MiB),  # a segment of its own
        (10 * MiB + 512, 12 * MiB),  # rounded up to 2 MiB
        (33 * MiB, 34 * MiB),
    ],
)
def test_segments_asked_of_the_driver(request_size: int, segment: int) -> None:
    assert segment_size(request_size) == segment


def test_small_tensors_share_a_segment() -> None:
    # 2 MiB hold 4096 blocks of 512; the next one opens a second segment.
    result = replay([(100, i) for i in range(4096)])
    assert (result.reserved, result.allocated, result.segments) == (2 * MiB, 2 * MiB, 1)
    assert replay([(100, i) for i in range(4097)]).reserved == 4 * MiB


def test_streams_do_not_share_their_free_memory() -> None:
    # 30 MiB freed on one stream serve the next 30 MiB there, and not on another.
    events = [(30 * MiB, 0), (-30 * MiB, 0), (30 * MiB, 1)]
    assert replay(events).reserved == 30 * MiB
    assert replay(events, streams={0: "side"}).reserved == 60 * MiB
    assert replay(events, streams={0: "side", 1: "side"}).reserved == 30 * MiB


def test_large_segment_is_split_until_a_mebibyte_remains() -> None:
    # Three times 6 MiB from 20 MiB leave 2 MiB, which one more request of 1.5 MiB takes whole: the remaining
    # 0.5 MiB is not more than 1 MiB, so the tensor keeps it and it counts as allocated.
    events = [(6 * MiB, 0), (6 * MiB, 1), (6 * MiB, 2), (3 * MiB // 2, 3)]
    result = replay(events)
    assert result.reserved == 20 * MiB
    assert result.tensors == 19 * MiB + MiB // 2
    assert result.allocated == 20 * MiB
    assert result.allocated_at == 3


def test_best_fit_takes_the_smallest_block_that_is_large_enough() -> None:
    # Own segments of 30 and 14 MiB are freed; 12 MiB goes into the 14 (2 MiB remain, split off), so 30 MiB fit again.
    events = [(30 * MiB, 0), (14 * MiB, 1), (-30 * MiB, 0), (-14 * MiB, 1), (12 * MiB, 2), (30 * MiB, 3)]
    result = replay(events)
    assert result.reserved == 44 * MiB
    assert result.segments == 2


def test_a_block_that_is_too_small_is_no_use() -> None:
    # The freed 14 MiB cannot serve 16: a new segment, though only 16 MiB are live.
    result = replay([(14 * MiB, 0), (-14 * MiB, 0), (16 * MiB, 1)])
    assert (result.reserved, result.allocated) == (30 * MiB, 16 * MiB)
    assert result.overhead == pytest.approx(30 / 16)


def test_free_neighbours_are_joined() -> None:
    # 4 + 4 + 4 + 8 MiB fill a 20 MiB segment; freeing the first three in any order leaves one block of 12 MiB.
    for order in ((0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)):
        events = [(4 * MiB, 0), (4 * MiB, 1), (4 * MiB, 2), (8 * MiB, 3)]
        events += [(-4 * MiB, i) for i in order] + [(12 * MiB, 4)]
        assert replay(events).reserved == 20 * MiB, order


def test_pools_do_not_mix() -> None:
    # A free block of 20 MiB does not serve a small tensor.
    assert replay([(2 * MiB, 0), (-2 * MiB, 0), (512, 1)]).reserved == 22 * MiB


def test_full_device_gives_back_free_segments_and_tries_again() -> None:
    # 32 MiB in all: 14 are cached and free when 30 are asked for; giving them back makes room.
    result = replay([(14 * MiB, 0), (-14 * MiB, 0), (30 * MiB, 1)], capacity=32 * MiB)
    assert result.out_of_memory is None
    assert result.cache_flushes == 1
    assert result.reserved == 30 * MiB


def test_segment_with_a_live_block_cannot_be_given_back() -> None:
    # 6 MiB of a 20 MiB segment are live: the other 14 stay, and 30 MiB do not fit into 48.
    events = [(6 * MiB, 0), (6 * MiB, 1), (-6 * MiB, 0), (30 * MiB, 2), (512, 3)]
    result = replay(events, capacity=48 * MiB)
    assert result.out_of_memory == 3
    assert result.reserved == 20 * MiB
    assert replay(events, capacity=52 * MiB).out_of_memory is None


def test_random_runs_keep_the_books_balanced() -> None:
    # Whatever happens, blocks tile their segments: live + free = reserved, and freeing all leaves nothing allocated.
    generator = random.Random(7)
    allocator = CachingAllocator()
    live = []
    for _ in range(3000):
        if live and generator.random() < 0.48:
            allocator.release(live.pop(generator.randrange(len(live))))
        else:
            block = allocator.allocate(rounded(int(2 ** generator.uniform(4, 26))))
            assert block is not None
            live.append(block)
        free = sum(size for pool in allocator._free.values() for size, _, _ in pool)
        assert free + sum(block.size for block in live) == allocator.reserved
        assert allocator.allocated == sum(block.size for block in live)
    for block in live:
        allocator.release(block)
    assert allocator.allocated == 0
    assert sum(len(pool) for pool in allocator._free.values()) == allocator.segments


def test_expandable_segments_grow_by_pages_and_serve_what_needed_a_new_segment() -> None:
    """By hand: 30 MiB map two pages of 20; when they are free again 50 MiB need one page more, 60 in all. Without
    expandable segments 30 and 50 MiB are segments of their own: 80. Small requests have pages of 2 MiB."""
    mib = 1 << 20
    events = [(30 * mib, 0), (-30 * mib, 0), (50 * mib, 1)]
    assert replay(events, expandable=True).reserved == 60 * mib
    assert replay(events).reserved == 80 * mib
    assert replay([(600, 0)], expandable=True).reserved == 2 * mib


def test_expandable_segments_never_reserve_less_than_is_allocated() -> None:
    found = replay_scenario({"model": "gpt2", "task": "train", "seq_len": 256}, expandable=True)
    usual = replay_scenario({"model": "gpt2", "task": "train", "seq_len": 256})
    assert found.allocated <= found.reserved <= usual.reserved * 1.05
