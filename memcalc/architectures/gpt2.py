"""GPT-2: learned positions, LayerNorm, one product for queries, keys and values, composed gelu_new, dropout.

Mirrors transformers 5.23 models/gpt2/modeling_gpt2.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import attention
from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Linear, activation
from memcalc.architectures.run import Run
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(slots=True)
class Norm:
    """Weight and bias of a LayerNorm."""

    weight: Parameter
    bias: Parameter


@dataclass(slots=True)
class Block:
    """The parameters of one decoder block."""

    ln_1: Norm
    c_attn: Linear
    attn_proj: Linear
    ln_2: Norm
    c_fc: Linear
    mlp_proj: Linear


class Gpt2(Decoder):
    """LayerNorm before attention and MLP, learned positions, head tied to the embedding."""

    linear_names = ("c_attn", "c_proj", "c_fc")
    peft_targets = ("c_attn",)

    def build(self) -> None:
        spec, make = self.spec, self.maker
        h = spec.hidden
        self.positions = make.parameter("wpe.weight", spec.max_positions, h)
        self.blocks: list[Block] = []
        for one in self.plan:
            n, path = one.repeat, f"{one.label}."
            self.blocks.append(
                Block(
                    ln_1=self._norm(f"{path}ln_1", n),
                    c_attn=make.linear(f"{path}attn", "c_attn", h, 3 * h, True, n, transposed=True),
                    attn_proj=make.linear(f"{path}attn", "c_proj", h, h, True, n, transposed=True),
                    ln_2=self._norm(f"{path}ln_2", n),
                    c_fc=make.linear(f"{path}mlp", "c_fc", h, spec.ffn, True, n, transposed=True),
                    mlp_proj=make.linear(f"{path}mlp", "c_proj", spec.ffn, h, True, n, transposed=True),
                )
            )
        self.ln_f = self._norm("ln_f", 1)

    def _norm(self, path: str, repeat: int) -> Norm:
        make, h = self.maker, self.spec.hidden
        return Norm(
            make.parameter(f"{path}.weight", h, repeat=repeat), make.parameter(f"{path}.bias", h, repeat=repeat)
        )

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.positions]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        position_embeds = ops.embedding(positions, self.positions)
        hidden = ops.add(inputs_embeds, position_embeds)
        return ops.dropout(hidden, self.spec.embedding_dropout if run.training else 0.0), position_embeds

    def final(self, hidden: Tensor) -> Tensor:
        return ops.layer_norm(hidden, self.ln_f.weight, self.ln_f.bias).view()

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        p = self.spec.residual_dropout if run.training else 0.0
        residual = hidden
        hidden = ops.layer_norm(hidden, one.ln_1.weight, one.ln_1.bias)
        attn_output, weights = self._attention(index, one, hidden, run, mask)
        hidden = ops.add(attn_output, residual)
        residual = hidden
        hidden = ops.layer_norm(hidden, one.ln_2.weight, one.ln_2.bias)
        feed_forward = self._mlp(one, hidden, p)
        hidden = ops.add(residual, feed_forward)
        del weights, attn_output  # local variables of the block
        return hidden

    def _mlp(self, one: Block, hidden: Tensor, p: float) -> Tensor:
        hidden = one.c_fc(hidden)
        hidden = activation(self.spec.activation, hidden)
        hidden = one.mlp_proj(hidden)
        return ops.dropout(hidden, p)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        b, s, heads, d = run.batch, run.length, spec.heads, spec.head_dim
        query, key, value = split_three(one.c_attn(hidden), (b, heads, s, d))
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        p = spec.attention_dropout if run.training else 0.0
        out, weights = attention(query, key, value, mask, run, p, None)
        out = one.attn_proj(out)
        return ops.dropout(out, spec.residual_dropout if run.training else 0.0), weights


def split_three(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """``x.split(h, dim=2)`` and the views to (batch, heads, length, d); backward joins three gradients into one."""
    tape, whole, fmt = x.tape, x.shape, x.format

    def backward(*grads: Tensor | None) -> Grads:
        return [fresh(tape, whole, fmt, "cat (split gradient)")]

    node = graph_node(tape, (x,), backward, slots=3)
    parts = [Tensor(x.storage, shape, x.format, node, slot, True) for slot in range(3)]
    return parts[0], parts[1], parts[2]
