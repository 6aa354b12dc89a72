"""Phi-1, Phi-1.5 and Phi-2: one norm for attention and feed-forward side by side, partly rotary positions.

Mirrors transformers 5.23 models/phi/modeling_phi.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.attention import attention
from memcalc.architectures.classic import Block, Classic
from memcalc.architectures.layers import LinearShape, Maker, activation
from memcalc.architectures.llama import rotary_table, rotate
from memcalc.architectures.rotary import PartialSpec, joined, parted
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class Phi(Classic):
    """LayerNorm, biases everywhere (the head has one too), gelu written out."""

    spec: PartialSpec
    rebinds_embeddings = True
    final_norm = "final_layernorm"
    linear_names = ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2")
    peft_targets = ("q_proj", "v_proj", "fc1", "fc2")

    def __init__(self, spec: PartialSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker, unroll)
        self.head.bias = maker.parameter("lm_head.bias", spec.vocab)

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        spec = self.spec
        h, q, kv = spec.hidden, spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        norms = [("self_attn.q_layernorm", spec.head_dim), ("self_attn.k_layernorm", spec.head_dim)]
        return [
            ("self_attn.q_proj", h, q, True),
            ("self_attn.k_proj", h, kv, True),
            ("self_attn.v_proj", h, kv, True),
            ("self_attn.dense", q, h, True),
            *(norms if spec.qk_norm else []),
            ("mlp.fc1", h, spec.ffn, True),
            ("mlp.fc2", spec.ffn, h, True),
            "input_layernorm",
        ]

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        half = (self.spec.rotary_dim // 2,)
        return [("rotary_emb.inv_freq", half, Format.FP32), ("rotary_emb.original_inv_freq", half, Format.FP32)]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        inputs_embeds = ops.dropout(inputs_embeds, self.spec.embedding_dropout if run.training else 0.0)
        return inputs_embeds, inputs_embeds

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.spec.rotary_dim, fmt)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, p = self.blocks[index], self.spec.residual_dropout if run.training else 0.0
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        attn_outputs, weights = self._attention(index, one, hidden, run, shared, mask)
        attn_outputs = ops.dropout(attn_outputs, p)
        feed_forward = ops.dropout(self._mlp(one, hidden), p)
        hidden = ops.add(ops.add(attn_outputs, feed_forward), residual)
        del weights, attn_outputs, feed_forward  # local variables of the block
        return hidden

    def _mlp(self, one: Block, x: Tensor) -> Tensor:
        hidden = one.linears["fc1"](x)
        hidden = activation(self.spec.activation, hidden)
        return one.linears["fc2"](hidden)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        b, s, d, width = run.batch, run.length, spec.head_dim, spec.rotary_dim
        query = one.linears["q_proj"](hidden).view(b, spec.heads, s, d)
        key = one.linears["k_proj"](hidden).view(b, spec.kv_heads, s, d)
        value = one.linears["v_proj"](hidden).view(b, spec.kv_heads, s, d)
        if spec.qk_norm:
            query = one.norms["self_attn.q_layernorm"](query)
            key = one.norms["self_attn.k_layernorm"](key)
        cos, sin = shared[:2]
        query_rot, query_pass = parted(query, width)
        key_rot, key_pass = parted(key, width)
        turned = rotate(query_rot, cos, sin)
        key_rot = rotate(key_rot, cos, sin)
        query_rot = turned
        del turned
        query = joined(query_rot, query_pass)
        key = joined(key_rot, key_pass)
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        p = spec.attention_dropout if run.training else 0.0
        out, weights = attention(query, key, value, mask, run, p, Format.FP32, by_head=True)
        out = one.linears["dense"](out)
        del query_rot, query_pass, key_rot, key_pass  # local variables: the raw queries and keys live until here
        return out, weights
