"""GPT-NeoX and Pythia: attention and feed-forward side by side, one product for queries, keys and values.

Mirrors transformers 5.23 models/gpt_neox/modeling_gpt_neox.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import attention
from memcalc.architectures.classic import Block, Classic, by_heads
from memcalc.architectures.layers import LinearShape, activation
from memcalc.architectures.llama import rotary_table, rotate
from memcalc.architectures.rotary import PartialSpec, joined, parted
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class GptNeoxSpec(PartialSpec):
    """``parallel``: attention and feed-forward read the same hidden states."""

    parallel: bool = True


class GptNeox(Classic):
    """LayerNorm, rotary positions on part of each head, gelu."""

    spec: GptNeoxSpec
    linear_names = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    peft_targets = ("query_key_value",)

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        h, ffn, bias = self.spec.hidden, self.spec.ffn, self.spec.qkv_bias
        return [
            "input_layernorm",
            "post_attention_layernorm",
            ("attention.query_key_value", h, 3 * h, bias),
            ("attention.dense", h, h, bias),
            ("mlp.dense_h_to_4h", h, ffn, True),
            ("mlp.dense_4h_to_h", ffn, h, True),
        ]

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        half = (self.spec.rotary_dim // 2,)
        return [("rotary_emb.inv_freq", half, Format.FP32), ("rotary_emb.original_inv_freq", half, Format.FP32)]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        return (ops.dropout(inputs_embeds, self.spec.embedding_dropout if run.training else 0.0),)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.spec.rotary_dim, fmt)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, p = self.blocks[index], self.spec.residual_dropout if run.training else 0.0
        attn_output, weights = self._attention(index, one, one.norms["input_layernorm"](hidden), run, shared, mask)
        attn_output = ops.dropout(attn_output, p)
        if self.spec.parallel:
            mlp_output = self._mlp(one, one.norms["post_attention_layernorm"](hidden))
            mlp_output = ops.dropout(mlp_output, p)
            hidden = ops.add(ops.add(mlp_output, attn_output), hidden)
        else:
            attn_output = ops.add(attn_output, hidden)
            mlp_output = self._mlp(one, one.norms["post_attention_layernorm"](attn_output))
            mlp_output = ops.dropout(mlp_output, p)
            hidden = ops.add(mlp_output, attn_output)
        del weights, attn_output, mlp_output  # local variables of the block
        return hidden

    def _mlp(self, one: Block, x: Tensor) -> Tensor:
        hidden = one.linears["dense_h_to_4h"](x)
        hidden = activation(self.spec.activation, hidden)
        return one.linears["dense_4h_to_h"](hidden)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        qkv = by_heads(one.linears["query_key_value"](hidden), (run.batch, spec.heads, run.length, 3 * spec.head_dim))
        query, key, value = ops.chunk_last(qkv, 3)
        query, key = rotate_both(query, key, shared, spec.rotary_dim)
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        p = spec.attention_dropout if run.training else 0.0
        out, weights = attention(query, key, value, mask, run, p, Format.FP32, by_head=True)
        out = one.linears["dense"](out)
        del qkv  # a local variable: the raw product lives until here
        return out, weights


def rotate_both(query: Tensor, key: Tensor, shared: Sequence[Tensor], width: int) -> tuple[Tensor, Tensor]:
    """``apply_rotary_pos_emb`` on the first ``width`` values of each head: the rotated parts of queries and keys are
    both made before either is joined with its rest."""
    cos, sin = shared[:2]
    query_rotated, query_rest = parted(query, width)
    key_rotated, key_rest = parted(key, width)
    query_embed = rotate(query_rotated, cos, sin)
    key_embed = rotate(key_rotated, cos, sin)
    query_embed = joined(query_embed, query_rest)
    key_embed = joined(key_embed, key_rest)
    return query_embed, key_embed
