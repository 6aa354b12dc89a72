"""GPT-J: attention and feed-forward side by side, rotary positions on pairs, scores in fp32, a bias in the head.

Mirrors transformers 5.23 models/gptj/modeling_gptj.py (its torch attention; there is no fused kernel for it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import recomputed
from memcalc.architectures.classic import Block
from memcalc.architectures.layers import LinearShape, Maker, activation
from memcalc.architectures.llama import rotate
from memcalc.architectures.rotary import joined, parted
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec
from memcalc.architectures.unfused import Beside, Unfused
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class GptJSpec(DecoderSpec):
    """A decoder that rotates the first ``rotary_dim`` values of each head, from a table of ``table`` positions."""

    rotary_dim: int = 0
    table: int = 0


class GptJ(Unfused):
    """LayerNorm, separate queries, keys and values without biases, gelu written out."""

    spec: GptJSpec
    final_norm = "ln_f"
    linear_names = ("k_proj", "v_proj", "q_proj", "out_proj", "fc_in", "fc_out")
    peft_targets = ("q_proj", "v_proj")

    def __init__(self, spec: GptJSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker, unroll)
        self.head.bias = maker.parameter("lm_head.bias", spec.vocab)

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        h, ffn = self.spec.hidden, self.spec.ffn
        return [
            "ln_1",
            *((f"attn.{name}", h, h, False) for name in ("k_proj", "v_proj", "q_proj", "out_proj")),
            ("mlp.fc_in", h, ffn, True),
            ("mlp.fc_out", ffn, h, True),
        ]

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        # Every block has its own table of sines and cosines.
        shape = (self.spec.table, self.spec.rotary_dim)
        return [(f"h.{i}.attn.embed_positions", shape, Format.FP32) for i in range(self.spec.layers)]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        return (ops.dropout(inputs_embeds, self.spec.embedding_dropout if run.training else 0.0),)

    def final(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden).view()

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, p = self.blocks[index], self.spec.residual_dropout if run.training else 0.0
        residual = hidden
        hidden = one.norms["ln_1"](hidden)
        attn_outputs, weights = self._attention(index, one, hidden, run, mask)
        feed_forward = self._mlp(one, hidden, p)
        hidden = ops.add(ops.add(attn_outputs, feed_forward), residual)
        return Beside(hidden, weights)

    def _mlp(self, one: Block, x: Tensor, p: float) -> Tensor:
        hidden = one.linears["fc_in"](x)
        hidden = activation(self.spec.activation, hidden)
        hidden = one.linears["fc_out"](hidden)
        return ops.dropout(hidden, p)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        spec, tape = self.spec, hidden.tape
        b, s, heads, d, width = run.batch, run.length, spec.heads, spec.head_dim, spec.rotary_dim
        query = one.linears["q_proj"](hidden).view(b, s, heads, d)
        key = one.linears["k_proj"](hidden).view(b, s, heads, d)
        value = one.linears["v_proj"](hidden).view(b, heads, s, d)
        table = fresh(tape, (1, spec.table, width), Format.FP32, "positions table (repeated)")
        rows = fresh(tape, (1, s, width), Format.INT64, "positions (repeated)")
        sincos = ops.to(fresh(tape, (1, s, width), Format.FP32, "sines and cosines"), key.format)
        key_rot, key_pass = parted(key, width)
        query_rot, query_pass = parted(query, width)
        key_rot = self._turned(key_rot, run)
        query_rot = self._turned(query_rot, run)
        key = joined(key_rot, key_pass).view(b, heads, s, d)
        query = joined(query_rot, query_pass).view(b, heads, s, d)
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        inputs = [query, key, value] + ([mask] if mask is not None else [])

        def core() -> tuple[Tensor, list[Tensor | None]]:
            out, weights = self._attend(query, key, value, mask, run)
            return out, [weights]

        out, held = recomputed(run, inputs, core)
        weights = held.pop()
        assert weights is not None
        out = ops.contiguous(out, tape.reorders(heads), (b, s, spec.hidden))
        out = one.linears["out_proj"](out)
        out = ops.dropout(out, spec.residual_dropout if run.training else 0.0)
        del table, rows, sincos, key_rot, key_pass, query_rot, query_pass  # local variables of the attention
        return out, weights

    def _turned(self, x: Tensor, run: Run) -> Tensor:
        """Rotary positions on x (batch, length, heads, width); sines and cosines are spread to pairs at each call."""
        shape = (1, run.length, 1, self.spec.rotary_dim)
        sin, cos = (fresh(x.tape, shape, x.format, name) for name in ("sin", "cos"))
        return rotate(x, cos, sin)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, run: Run
    ) -> tuple[Tensor, Tensor]:
        tape = query.tape
        b, heads, s, d = query.shape
        folds = tape.folds(heads)
        dense = run.cache is not None
        fmt, value_fmt = Format.FP32, value.format
        query_wide, key_wide = ops.to(query, fmt), ops.to(key, fmt)
        copies = (folds and not tape.one_token, folds and not dense)
        weights = ops.batched_product(query_wide, key_wide, (b, heads, s, run.past + s), copies)
        weights = ops.scale(weights, "div")
        if mask is not None:
            weights = ops.add(weights, mask)
        weights = ops.softmax(weights)
        weights = ops.to(weights, value_fmt)
        weights = ops.dropout(weights, self.spec.attention_dropout if run.training else 0.0)
        out = ops.batched_product(weights, value, (b, heads, s, d), (False, folds and not dense))
        del query_wide, key_wide
        return out, weights
