"""MPT: alibi added in fp32, norms without biases, attention written out by hand.

Mirrors transformers 5.23 models/mpt/modeling_mpt.py (which applies ``attn_pdrop`` everywhere, and no other dropout).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import recomputed
from memcalc.architectures.classic import Block
from memcalc.architectures.layers import LinearShape, Norm
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
class MptSpec(DecoderSpec):
    """``clipped``: queries, keys and values are clamped."""

    clipped: bool = False


class Mpt(Unfused):
    """LayerNorm without bias, no biases at all, exact gelu, head tied to the embedding."""

    spec: MptSpec
    final_norm = "norm_f"
    linear_names = ("Wqkv", "out_proj", "up_proj", "down_proj")
    peft_targets = ("Wqkv",)
    shares_before_masks = True

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        h, ffn = self.spec.hidden, self.spec.ffn
        return [
            "norm_1",
            ("attn.Wqkv", h, 3 * h, False),
            ("attn.out_proj", h, h, False),
            "norm_2",
            ("ffn.up_proj", h, ffn, False),
            ("ffn.down_proj", ffn, h, False),
        ]

    def make_norm(self, path: str, width: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", width, repeat=repeat)
        return lambda x: ops.layer_norm(x, weight, None)

    def position_ids(self, tape: Tape, run: Run) -> Tensor:
        return fresh(tape, (0,), Format.INT64, "position ids")  # there are none

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        return (inputs_embeds,)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        # As long as the longest sequence the model was made for, whatever the run's length.
        length, power = self.spec.max_positions, 1 << (self.spec.heads - 1).bit_length()
        distances = fresh(tape, (1, 1, 1, length), Format.INT32, "distances")
        base, slopes = (fresh(tape, (power,), Format.FP32, "slopes") for _ in range(2))
        alibi = fresh(tape, (self.spec.heads, 1, length), Format.FP32, "alibi")
        del distances, base, slopes
        return [alibi]

    def _mask(self, tape: Tape, run: Run, fmt: Format, window: int | None) -> Tensor | None:
        additive = super()._mask(tape, run, fmt, window)
        return fresh(tape, additive.shape, Format.BOOL, "mask") if additive is not None else None

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, p = self.blocks[index], self.spec.attention_dropout if run.training else 0.0
        normed = one.norms["norm_1"](hidden)
        residual = hidden
        attn_outputs, weights = self._attention(index, one, normed, run, shared[0], mask, p)
        hidden = ops.add(ops.dropout(attn_outputs, p), residual)
        normed = one.norms["norm_2"](hidden)
        residual = hidden
        output = self._mlp(one, normed, residual, p)
        return Beside(output, weights)

    def _mlp(self, one: Block, x: Tensor, residual: Tensor, p: float) -> Tensor:
        hidden = one.linears["up_proj"](x)
        hidden = ops.gelu(hidden)
        middle = one.linears["down_proj"](hidden)
        out = ops.dropout(middle, p)
        return ops.add(out, residual)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, bias: Tensor, mask: Tensor | None, p: float
    ) -> tuple[Tensor, Tensor]:
        spec, tape = self.spec, hidden.tape
        b, s, heads, d = run.batch, run.length, spec.heads, spec.head_dim
        folds = tape.folds(heads)
        mixed = one.linears["Wqkv"](hidden)
        if spec.clipped:
            mixed = clamp(mixed)
        query, key, value = (part.view(b, heads, s, d) for part in ops.chunk_last(mixed, 3))
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        copied = folds and run.cache is None
        shape = (b, heads, s, run.past + s)

        def core() -> tuple[Tensor, list[Tensor | None]]:
            scores = ops.scale(ops.batched_product(query, key, shape, (folds and not tape.one_token, copied)))
            scores = ops.add(scores, bias)
            if mask is not None:
                scores = masked_fill(scores, mask)
            weights = ops.to(ops.softmax(scores), value.format)
            weights = ops.dropout(weights, p)
            return ops.batched_product(weights, value, (b, heads, s, d), (False, copied)), [weights, scores]

        inputs = [query, key, value, bias] + ([mask] if mask is not None else [])
        context, held = recomputed(run, inputs, core)
        weights = held[0]
        context = ops.contiguous(context, tape.reorders(heads), (b, s, spec.hidden))
        out = one.linears["out_proj"](context)
        del mixed, held  # local variables of the attention
        assert weights is not None
        return out, weights


def masked_fill(x: Tensor, mask: Tensor) -> Tensor:
    """``x.masked_fill(mask, value)``: keeps the mask; so does backward, once more of x's size."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "masked_fill (gradient)")]

    return operator(tape, "masked_fill", (x,), shape, fmt, backward, (mask,))


def clamp(x: Tensor) -> Tensor:
    """``x.clamp(min, max)``: keeps its input."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        inside = fresh(tape, shape, Format.BOOL, "clamp mask")
        out = fresh(tape, shape, fmt, "clamp (gradient)")
        del inside
        return [out]

    return operator(tape, "clamp", (x,), shape, fmt, backward, (x,))
