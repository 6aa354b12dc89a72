"""bitsandbytes' AdamW and Lion [bitsandbytes 0.50 optim/optimizer.py, Optimizer2State.init_state; functional.py].

Traced: the package's own Python, with stand-ins for the update kernels, which work in place and allocate nothing
[backends/cuda/ops.py, _optimizer_update_8bit_blockwise_impl, _optimizer_update_32bit_impl].

Each state of a tensor of at least 4096 values takes one byte a value and one fp32 ``absmax`` for each block of 256;
smaller tensors keep two fp32 states. Two code maps of 256 fp32 values are shared by all tensors of a device. Paged:
states of at least 100,000 values lie in managed memory, which torch's allocator does not see.
"""

from __future__ import annotations

from math import prod

from memcalc.formats import Format
from memcalc.training.optimizers.tapes import Step

BLOCK_VALUES = 256
"""Values that share one absmax."""
SMALLEST = 4096
"""Values from which on a tensor's states are 8-bit (``min_8bit_size``)."""
PAGED_FROM = 100_000
"""Values from which on a paged state lies in managed memory (``get_state_buffer``)."""
CODE_MAP = 256
"""Entries of the map from bytes to numbers."""


def _states(step: Step, names: tuple[str, ...], bits: int = 8, paged: bool = False) -> None:
    """The states called ``names`` of every tensor; one kernel works in place: no temporaries."""
    for slot in step.slots:
        count = prod(slot.shape)
        wide = bits == 32 or count < SMALLEST
        for name in names:
            if not (paged and count >= PAGED_FROM):
                step.keep(slot, name, slot.shape, Format.FP32 if wide else Format.UINT8)
        if wide:
            continue
        for number in range(1, len(names) + 1):
            step.keep(step.slots[0], f"code map {number}", (CODE_MAP,), Format.FP32)
        for number in range(1, len(names) + 1):
            step.keep(slot, f"absmax{number}", (-(-count // BLOCK_VALUES),), Format.FP32)


def adamw_8bit(step: Step) -> None:
    """Two states a tensor."""
    _states(step, ("state1", "state2"))


def paged_adamw_8bit(step: Step) -> None:
    """The same with large states in managed memory."""
    _states(step, ("state1", "state2"), paged=True)


def paged_adamw_32bit(step: Step) -> None:
    """Two fp32 states a tensor, whatever its format; large ones in managed memory."""
    _states(step, ("state1", "state2"), bits=32, paged=True)


def lion_8bit(step: Step) -> None:
    """One state a tensor [Optimizer1State.init_state]."""
    _states(step, ("state1",))


def managed_bytes(counts: list[int], size: int = 1) -> int:
    """Bytes of paged states in managed memory, for tensors of so many values: two states of ``size`` bytes a value.

    >>> managed_bytes([1_000_000, 50_000])
    2000000
    """
    return sum(2 * size * one for one in counts if one >= PAGED_FROM)
