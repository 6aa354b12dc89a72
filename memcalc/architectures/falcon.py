"""Falcon: 7B (one head of keys and values, attention beside feed-forward) and the new decoder of 40B and 180B
(keys and values of each group copied to all its heads, two norms).

Mirrors transformers 5.23 models/falcon/modeling_falcon.py. It always makes a mask, so flash attention never runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import recomputed
from memcalc.architectures.classic import Block
from memcalc.architectures.falcon_attention import (
    SplitLinear,
    added_in_place,
    attend_eager,
    attend_sdpa,
    grouped_heads,
    single_head,
)
from memcalc.architectures.layers import LinearShape, activation
from memcalc.architectures.llama import rotary_table, rotate
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec
from memcalc.architectures.unfused import Beside, Unfused
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class FalconSpec(DecoderSpec):
    """``groups``: heads of keys and values in the new decoder, each copied to its queries (0: the old decoder, with
    one head for all); ``norms``: LayerNorms in a block."""

    groups: int = 0
    norms: int = 1

    @property
    def by_length(self) -> bool:
        """Alibi's additive mask is kept as it is, or padded once a layer to a multiple of 8."""
        return self.family == "falcon_alibi"


class Falcon(Unfused):
    """LayerNorm, rotary positions, gelu, products without a fused bias, head tied to the embedding."""

    spec: FalconSpec
    final_norm = "ln_f"
    linear_names = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    peft_targets = ("query_key_value",)

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        spec = self.spec
        h, ffn, bias = spec.hidden, spec.ffn, spec.mlp_bias
        return [
            ("self_attention.query_key_value", h, h + 2 * (spec.groups or 1) * spec.head_dim, bias),
            ("self_attention.dense", h, h, bias),
            ("mlp.dense_h_to_4h", h, ffn, bias),
            ("mlp.dense_4h_to_h", ffn, h, bias),
            *(("ln_attn", "ln_mlp") if spec.norms == 2 else ("input_layernorm",)),
        ]

    def build(self) -> None:
        super().build()
        for block in self.blocks:
            block.linears = {name: SplitLinear.of(one) for name, one in block.linears.items()}

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        half = (self.spec.head_dim // 2,)
        return [("rotary_emb.inv_freq", half, Format.FP32), ("rotary_emb.original_inv_freq", half, Format.FP32)]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        return (inputs_embeds,)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.spec.head_dim, fmt)

    def _mask(self, tape: Tape, run: Run, fmt: Format, window: int | None) -> Tensor | None:
        if run.eager or run.padded:
            return super()._mask(tape, run, fmt, window)
        shape = (1, 1, run.length, run.past + run.length)
        causal = fresh(tape, shape, Format.BOOL, "causal mask")
        allowed = fresh(tape, shape, Format.BOOL, "causal mask")
        del causal
        return allowed

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        if self.spec.norms == 2:
            normed = one.norms["ln_attn"](hidden)
            mlp_normed = one.norms["ln_mlp"](hidden)
        else:
            normed = mlp_normed = one.norms["input_layernorm"](hidden)
        attention_output, weights = self._attention(index, one, normed, run, shared, mask)
        mlp_output = self._mlp(one, mlp_normed)
        mlp_output = added_in_place(mlp_output, attention_output)
        output = ops.dropout(mlp_output, self.spec.residual_dropout if run.training else 0.0)
        return Beside(ops.add(residual, output), weights)

    def _mlp(self, one: Block, x: Tensor) -> Tensor:
        inner = one.linears["dense_h_to_4h"](x)
        x = activation(self.spec.activation, inner)
        del inner
        return one.linears["dense_4h_to_h"](x)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        fused = one.linears["query_key_value"](hidden)
        if spec.groups:
            query, key, value = grouped_heads(fused, run, spec.groups, spec.heads, spec.head_dim)
        else:
            query, key, value = single_head(fused, run, spec.heads, spec.head_dim)
        cos, sin = shared[:2]
        turned = rotate(query, cos, sin)
        key = rotate(key, cos, sin)
        query = turned
        del turned
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        assert mask is not None
        fmt, causal = hidden.format, mask

        def core() -> tuple[Tensor, list[Tensor | None]]:
            if not run.eager:
                return attend_sdpa(query, key, value, causal, run), [None]
            out, weights = attend_eager(query, key, value, causal, fmt, run)
            return out, [weights]

        out, held = recomputed(run, [query, key, value, causal], core)
        weights = held.pop()
        out = one.linears["dense"](out)
        del fused  # a local variable of the attention
        return out, weights
