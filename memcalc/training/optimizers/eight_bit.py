"""AdamW with 8-bit states [bitsandbytes optim/optimizer.py, Optimizer2State.init_state; functional.py].

Each state of a tensor of at least 4096 values takes one byte a value and one fp32 ``absmax`` for each block of 256;
smaller tensors keep two fp32 states. Two code maps of 256 fp32 values are shared by all tensors of a device. Paged:
states of at least 100,000 values lie in managed memory, which torch's allocator does not see.
"""

from __future__ import annotations

from math import prod

from memcalc.formats import Format
from memcalc.training.optimizers.tapes import Slot, Step

BLOCK_VALUES = 256
"""Values that share one absmax."""
SMALLEST = 4096
"""Values from which on a tensor's states are 8-bit (``min_8bit_size``)."""
PAGED_FROM = 100_000
"""Values from which on a paged state lies in managed memory (``get_state_buffer``)."""
CODE_MAP = 256
"""Entries of the map from bytes to numbers."""


def adamw_8bit(step: Step, paged: bool = False) -> None:
    """Two states a tensor, one kernel that works in place: no temporaries."""
    for number, slot in enumerate(step.slots):
        count = prod(slot.shape)
        small = count < SMALLEST
        fmt = Format.FP32 if small else Format.UINT8
        for name in ("state1", "state2"):
            if not (paged and count >= PAGED_FROM):
                step.keep(slot, name, slot.shape, fmt)
        if small:
            continue
        _maps(step, step.slots[0])
        blocks = -(-count // BLOCK_VALUES)
        for name in ("absmax1", "absmax2"):
            step.keep(slot, name, (blocks,), Format.FP32)
        del number


def _maps(step: Step, first: Slot) -> None:
    for name in ("code map 1", "code map 2"):
        step.keep(first, name, (CODE_MAP,), Format.FP32)


def paged_adamw_8bit(step: Step) -> None:
    """The same with large states in managed memory."""
    adamw_8bit(step, paged=True)


def managed_bytes(counts: list[int]) -> int:
    """Bytes of paged states in managed memory, for tensors of so many values: two bytes a value.

    >>> managed_bytes([1_000_000, 50_000])
    2000000
    """
    return sum(2 * one for one in counts if one >= PAGED_FROM)
