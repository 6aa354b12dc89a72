"""Decoders whose attention is written out by hand (BLOOM, MPT, GPT-J), without a fused kernel.

Their blocks return the attention weights beside the hidden states.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.classic import Classic
from memcalc.architectures.run import Run
from memcalc.tensors.autograd import checkpointed
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class Beside(Tensor):
    """A block's hidden states with the attention weights returned beside them: the model's loop holds on to the pair
    until the next block has returned."""

    __slots__ = ("weights",)

    def __init__(self, hidden: Tensor, weights: Tensor | None) -> None:
        super().__init__(hidden.storage, hidden.shape, hidden.format, hidden.node, hidden.slot, hidden.is_view)
        self.weights = weights


class Unfused(Classic):
    """A decoder whose blocks return ``Beside``."""

    def _checkpointed(
        self, tape: Tape, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> Tensor:
        # Without the weights beside it, which are no input of the block.
        plain = Tensor(hidden.storage, hidden.shape, hidden.format, hidden.node, hidden.slot, hidden.is_view)
        inputs = [plain, *shared] + ([mask] if mask is not None else [])
        return checkpointed(tape, lambda: self.block(index, plain, run, shared, mask), inputs)
