"""Blocks with a norm on both sides of attention and feed-forward (Gemma 2 and 3, GLM-4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from memcalc.architectures.llama import Llama
from memcalc.architectures.run import Run
from memcalc.tensors import ops
from memcalc.tensors.tensor import Tensor


class Sandwich(Llama):
    """Llama whose attention and feed-forward results are normed before they join the residual.

    ``around`` names the norms before and after attention, before and after the feed-forward.
    """

    around: ClassVar[tuple[str, str, str, str]]

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        before, after, before_mlp, after_mlp = (one.norms[name] for name in self.around)
        residual = hidden
        hidden = before(hidden)
        hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = after(hidden)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = before_mlp(hidden)
        hidden = self.mlp(one, hidden)
        hidden = after_mlp(hidden)
        hidden = ops.add(residual, hidden)
        del weights
        return hidden
