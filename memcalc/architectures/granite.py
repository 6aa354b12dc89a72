"""Granite: Llama with multipliers on embeddings, residual branches and logits.

Mirrors transformers 5.23 models/granite/modeling_granite.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.llama import Llama
from memcalc.architectures.run import Run
from memcalc.tensors import ops
from memcalc.tensors.tensor import Tensor


class Granite(Llama):
    """Each multiplication makes a tensor, whatever the factor."""

    def scaled(self, inputs_embeds: Tensor) -> Tensor:
        return ops.scale(inputs_embeds)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = ops.add(residual, ops.scale(hidden))
        residual = hidden
        hidden = one.norms["post_attention_layernorm"](hidden)
        hidden = self.mlp(one, hidden)
        hidden = ops.add(residual, ops.scale(hidden))
        del weights
        return hidden

    def project_out(self, hidden: Tensor) -> Tensor:
        logits = self.head(hidden)
        return ops.scale(logits, "div")
