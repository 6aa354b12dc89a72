"""What torch's allocator counts as allocated though no tensor uses it: the ends of blocks that are not split off.

A tensor of 10 MiB or more gets a segment of its own, rounded up to 2 MiB; if at most 1 MiB remains, the tensor keeps
the whole block, and ``torch.cuda.memory_allocated`` counts it [c10/cuda/CUDACachingAllocator.cpp: should_split].
Smaller ones share segments of 20 MiB, of which the last end is kept likewise. Weights that are moved to the card one by
one pay this; transformers' loader with a device_map reserves one block for all first, and does not.
"""

from __future__ import annotations

from collections.abc import Iterable

from memcalc.allocator.replay import LARGE_SEGMENT, OWN_SEGMENT_FROM, SEGMENT_STEP, SMALL_SIZE
from memcalc.tensors.ops.quantised import QuantisedParameter
from memcalc.tensors.tensor import Parameter


def kept_ends(parameters: Iterable[Parameter]) -> int:
    """Bytes that the weights' blocks hold beyond the weights.

    Qwen2.5-14B has three matrices of 135 MiB in each of 48 blocks, and each keeps the last of 136 MiB: 144 MiB.
    """
    return sum(one.repeat * end(size) for one in parameters for size in sizes(one))


def sizes(one: Parameter) -> list[int]:
    """Bytes of the tensors that a weight is made of."""
    return [piece.bytes for piece in one.pieces] if isinstance(one, QuantisedParameter) else [one.bytes()]


def end(size: int) -> int:
    """Bytes that a tensor's block holds beyond it (of tensors that share a segment: each one's part)."""
    if size <= SMALL_SIZE:
        return 0
    each = 1 if size >= OWN_SEGMENT_FROM else LARGE_SEGMENT // size
    segment = -(-size // SEGMENT_STEP) * SEGMENT_STEP if each == 1 else LARGE_SEGMENT
    end = segment - each * size
    return end // each if end <= SMALL_SIZE else 0
