"""BLOOM: alibi instead of positions, a norm after the embedding, attention and gelu written out by hand.

Mirrors transformers 5.23 models/bloom/modeling_bloom.py; there is no fused attention for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import recomputed
from memcalc.architectures.classic import Block
from memcalc.architectures.layers import LinearShape
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec
from memcalc.architectures.unfused import Beside, Unfused
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class BloomSpec(DecoderSpec):
    """``residual_after_norm``: what is added to is the norm's result, not its input."""

    residual_after_norm: bool = False


class Bloom(Unfused):
    """LayerNorm, alibi, one product for queries, keys and values, head tied to the embedding."""

    spec: BloomSpec
    final_norm = "ln_f"
    linear_names = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    peft_targets = ("query_key_value",)

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        h, ffn = self.spec.hidden, self.spec.ffn
        return [
            "input_layernorm",
            ("self_attention.query_key_value", h, 3 * h, True),
            ("self_attention.dense", h, h, True),
            "post_attention_layernorm",
            ("mlp.dense_h_to_4h", h, ffn, True),
            ("mlp.dense_4h_to_h", ffn, h, True),
        ]

    def build(self) -> None:
        self.embedding_norm = self.make_norm("word_embeddings_layernorm", self.spec.hidden)
        super().build()

    def position_ids(self, tape: Tape, run: Run) -> Tensor:
        return fresh(tape, (0,), Format.INT64, "position ids")  # there are none

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        slopes = fresh(inputs_embeds.tape, (self.spec.heads,), Format.FP32, "alibi slopes")
        return self.embedding_norm(inputs_embeds), *(() if run.padded else (slopes,))

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return [alibi_rows(tape, run, self.spec.heads, fmt)]

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, after = self.blocks[index], self.spec.residual_after_norm
        normed = one.norms["input_layernorm"](hidden)
        residual = normed if after else hidden
        attention_output, weights = self._attention(index, one, normed, residual, run, shared[0], mask)
        normed = one.norms["post_attention_layernorm"](attention_output)
        residual = normed if after else attention_output
        output = self._mlp(one, normed, residual, run)
        return Beside(output, weights)

    def _mlp(self, one: Block, x: Tensor, residual: Tensor, run: Run) -> Tensor:
        hidden = bloom_gelu(one.linears["dense_h_to_4h"](x))
        out = one.linears["dense_4h_to_h"](hidden)
        return dropout_add(out, residual, self.spec.residual_dropout if run.training else 0.0)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, residual: Tensor, run: Run, alibi: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        spec, tape = self.spec, hidden.tape
        b, s, heads, d = run.batch, run.length, spec.heads, spec.head_dim
        keys = run.past + s
        copied = tape.folds(heads)
        fused = one.linears["query_key_value"](hidden)
        query, key, value = (ops.slice_last(fused, spec.hidden).view(b, heads, s, d) for _ in range(3))
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        query = ops.contiguous(query, copied and not tape.one_token)
        key = ops.contiguous(key, copied and run.cache is None)
        value = ops.contiguous(value, copied and run.cache is None)

        def core() -> tuple[Tensor, list[Tensor | None]]:
            scores = baddbmm(alibi, query, key, (b, heads, s, keys))
            weights = ops.add(scores, mask) if mask is not None else scores
            probs = ops.to(ops.softmax(weights, Format.FP32), query.format)
            probs = ops.dropout(probs, spec.attention_dropout if run.training else 0.0)
            return ops.batched_product(probs, value, (b, heads, s, d)), [probs, scores, weights]

        inputs = [query, key, value, alibi] + ([mask] if mask is not None else [])
        context, held = recomputed(run, inputs, core)
        probs = held[0]
        context = ops.contiguous(context, tape.reorders(heads), (b, s, spec.hidden))
        out = one.linears["dense"](context)
        out = dropout_add(out, residual, spec.residual_dropout if run.training else 0.0)
        del fused, held  # local variables of the attention
        assert probs is not None
        return out, probs


def dropout_add(x: Tensor, residual: Tensor, p: float) -> Tensor:
    """``residual + dropout(x)``."""
    out = ops.dropout(x, p)
    return ops.add(residual, out)


def alibi_rows(tape: Tape, run: Run, heads: int, fmt: Format) -> Tensor:
    """Alibi (batch · heads, 1, keys): each head's slope times the position, computed in fp32."""
    keys = run.past + run.length
    if run.padded:
        wide = fresh(tape, (run.batch, heads, keys), Format.FP32, "alibi")
    else:
        once = fresh(tape, (heads, 1, keys), Format.FP32, "alibi")
        wide = fresh(tape, (run.batch * heads, 1, keys), Format.FP32, "alibi (repeated)")
        del once
    return ops.to(wide, fmt)


def baddbmm(alibi: Tensor, query: Tensor, key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``alibi.baddbmm(query, key^T, alpha=scale)``: keeps both factors; each gradient is a product, then scaled."""
    tape = query.tape
    if tape.autocast is not None:
        fmt = tape.autocast.format
        alibi, query, key = ops.to(alibi, fmt), ops.to(query, fmt), ops.to(key, fmt)
    fmt = query.format
    shapes = [one.shape for one in (query, key) if one.needs_grad]
    keeps = ([query] if key.needs_grad else []) + ([key] if query.needs_grad else [])

    def backward(grad: Tensor) -> Grads:
        grads: Grads = []
        for one in shapes:
            product = fresh(tape, one, fmt, "bmm (gradient)")
            grads.append(fresh(tape, one, fmt, "mul (gradient)"))
            del product
        return grads

    return operator(tape, "baddbmm", (query, key), shape, fmt, backward, keeps)


def bloom_gelu(x: Tensor) -> Tensor:
    """BLOOM's own autograd function for tanh-gelu: keeps its input only, computes in elementwise steps both ways."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def made(op: str) -> Tensor:
        return fresh(tape, shape, fmt, op)

    def tanh_of() -> Tensor:
        left = made("mul")
        right = made("mul")
        right = made("mul")
        right = made("add")
        inner = made("mul")
        del left, right
        return made("tanh") if inner else inner

    def backward(grad: Tensor) -> Grads:
        tanh = tanh_of()
        half = made("mul")
        first = made("mul")
        first = made("rsub")
        second = made("mul")
        second = made("mul")
        second = made("add")
        product = made("mul")
        del first, second
        left = made("mul")
        del half, product
        right = made("add")
        right = made("mul")
        slope = made("add")
        del left, right
        out = made("gelu (gradient)")
        del slope, tanh
        return [out]

    half = made("mul")
    factor = tanh_of()
    factor = made("add")
    out = operator(tape, "gelu", (x,), shape, fmt, backward, (x,))
    del half, factor
    return out
