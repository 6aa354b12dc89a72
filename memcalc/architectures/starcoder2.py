"""StarCoder2: Llama's attention with biases, LayerNorm, a plain gelu feed-forward, dropout.

Mirrors transformers 5.23 models/starcoder2/modeling_starcoder2.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.layers import LinearShape, Norm, activation
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.run import Run
from memcalc.tensors import ops
from memcalc.tensors.tensor import Tensor


class Starcoder2(Llama):
    """Llama with another norm, another feed-forward and dropout after both."""

    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj")
    peft_targets = ("q_proj", "v_proj")

    def mlp_linears(self) -> list[LinearShape]:
        h, ffn, bias = self.spec.hidden, self.spec.ffn, self.spec.mlp_bias
        return [("c_fc", h, ffn, bias), ("c_proj", ffn, h, bias)]

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        bias = self.maker.parameter(f"{path}.bias", *shape, repeat=repeat)
        return lambda x: ops.layer_norm(x, weight, bias)

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        return (ops.dropout(inputs_embeds, self.spec.embedding_dropout if run.training else 0.0),)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, p = self.blocks[index], self.spec.residual_dropout if run.training else 0.0
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = ops.dropout(hidden, p)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = one.norms["post_attention_layernorm"](hidden)
        hidden = self._feed_forward(one, hidden, p)
        hidden = ops.add(residual, hidden)
        del weights
        return hidden

    def _feed_forward(self, one: Block, x: Tensor, p: float) -> Tensor:
        hidden = one.linears["c_fc"](x)
        hidden = activation(self.spec.activation, hidden)
        hidden = one.linears["c_proj"](hidden)
        return ops.dropout(hidden, p)
