"""A loop over tokens in Python, of which only the first and the last are run: between them every token keeps as much as
the one before."""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.formats import Format
from memcalc.tensors.autograd import graph_node, keep
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor

FIRST, LAST = 3, 2
"""Tokens that are run one by one at either end: the first one starts without a state that needs a gradient, and
backward is highest at the last one."""


def shown(tokens: Size) -> int:
    """How many of ``tokens`` (or of each of a grid's) are run."""
    return min(tokens, FIRST + LAST) if isinstance(tokens, int) else FIRST + LAST


def grown(tape: Tape, start: int) -> Size:
    """Bytes by which the level has risen since event ``start``."""
    records = tape.records
    total: Size = 0
    for event in tape.events[start:]:
        total = total + records[event].bytes if event >= 0 else total - records[~event].bytes
    return total


def skipped(states: Sequence[Tensor], tokens: Size, each: Size, own: bool = False) -> list[Tensor]:
    """``tokens`` more of the loop, which keep ``each`` bytes, their ``states`` among them: the last of these. Backward
    hands their gradients through. ``own``: a token keeps its new states itself, beside the next one's operators."""
    tape = states[0].tape
    needing = [one.needs_grad for one in states]

    def backward(*grads: Tensor | None) -> Grads:
        return [grad for grad, needed in zip(grads, needing, strict=True) if needed]

    node = graph_node(tape, states, backward, slots=len(states))
    if node is None:
        return list(states)
    made = [fresh(tape, one.shape, one.format, "state of a token") for one in states]
    rest = tokens * each - sum(one.storage.record.bytes for one in made)
    # With activation offload what they keep waits in the computer's memory.
    kept = [] if tape.offload and tape.saving is None else [fresh(tape, (rest,), Format.UINT8, "kept by tokens")]
    if kept:
        keep(tape, node, (*states, *kept, *(made if own else ())))
    return [Tensor(one.storage, one.shape, one.format, node, slot) for slot, one in enumerate(made)]
