"""Phi-3, Phi-3.5 and Phi-4: one product for queries, keys and values, one for gate and up, partly rotary positions.

Mirrors transformers 5.23 models/phi3/modeling_phi3.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.layers import LinearShape, activation
from memcalc.architectures.llama import Block
from memcalc.architectures.rotary import PartialRotary
from memcalc.architectures.run import Run
from memcalc.tensors import ops
from memcalc.tensors.tensor import Tensor


class Phi3(PartialRotary):
    """Llama with fused products and dropout on what joins the residual."""

    linear_names = ("o_proj", "qkv_proj", "gate_up_proj", "down_proj")
    peft_targets = ("qkv_proj",)

    def attention_linears(self) -> list[LinearShape]:
        spec = self.spec
        q, kv = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        return [("o_proj", q, spec.hidden, False), ("qkv_proj", spec.hidden, q + 2 * kv, False)]

    def mlp_linears(self) -> list[LinearShape]:
        h, ffn = self.spec.hidden, self.spec.ffn
        return [("gate_up_proj", h, 2 * ffn, False), ("down_proj", ffn, h, False)]

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        p = self.spec.residual_dropout if run.training else 0.0
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = ops.add(residual, ops.dropout(hidden, p))
        residual = hidden
        hidden = one.norms["post_attention_layernorm"](hidden)
        hidden = self.mlp(one, hidden)
        hidden = ops.add(residual, ops.dropout(hidden, p))
        del weights
        return hidden

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        return fused_mlp(one, x, self.spec.activation)

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        qkv = one.linears["qkv_proj"](hidden)
        query = ops.slice_last(qkv, spec.heads * d)
        key = ops.slice_last(qkv, spec.kv_heads * d)
        value = ops.slice_last(qkv, spec.kv_heads * d)
        query = query.view(b, spec.heads, s, d)
        return query, key.view(b, spec.kv_heads, s, d), value.view(b, spec.kv_heads, s, d), qkv


def fused_mlp(one: Block, x: Tensor, name: str) -> Tensor:
    """A feed-forward with one product for gate and up (batch, length, 2 ffn), then cut in two views."""
    up = one.linears["gate_up_proj"](x)
    gate, up = ops.chunk_last(up, 2)
    if x.tape.liger and name in ("silu", "swish"):  # Liger takes both whole
        up = ops.fused_swiglu(ops.contiguous(gate, True), ops.contiguous(up, True))
        return one.linears["down_proj"](up)
    up = ops.mul(up, activation(name, gate))
    return one.linears["down_proj"](up)
