"""Falcon with alibi (falcon-rw-1b, -7b): feed-forward after attention, alibi joined with the mask, biases.

Mirrors transformers 5.23 models/falcon/modeling_falcon.py, the path with ``alibi``; positions are computed all the
same, and not used.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.attention import recomputed
from memcalc.architectures.bloom import dropout_add
from memcalc.architectures.classic import Block
from memcalc.architectures.falcon import Falcon
from memcalc.architectures.layers import LinearShape
from memcalc.architectures.run import Run
from memcalc.architectures.unfused import Beside
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class FalconAlibi(Falcon):
    """As many key heads as query heads, cut out of one product; norms before attention and before feed-forward."""

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        spec = self.spec
        h, ffn, bias = spec.hidden, spec.ffn, spec.mlp_bias
        return [
            ("self_attention.query_key_value", h, 3 * h, bias),
            ("self_attention.dense", h, h, bias),
            ("mlp.dense_h_to_4h", h, ffn, bias),
            ("mlp.dense_4h_to_h", ffn, h, bias),
            "post_attention_layernorm",
            "input_layernorm",
        ]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        if run.padded:
            return (inputs_embeds,)
        whole = (run.batch, run.past + run.length)
        return inputs_embeds, fresh(inputs_embeds.tape, whole, Format.INT64, "mask of ones")

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        alibi = fresh(tape, (run.batch, self.spec.heads, 1, run.past + run.length), fmt, "alibi")
        return [*super().shared(tape, run, fmt), alibi]

    def _mask(self, tape: Tape, run: Run, fmt: Format, window: int | None) -> Tensor | None:
        mask = super()._mask(tape, run, fmt, window)
        assert mask is not None
        mask = fresh(tape, mask.shape, fmt, "additive mask") if mask.format is Format.BOOL else mask
        where = fresh(tape, mask.shape, Format.BOOL, "masked positions")
        joined = (run.batch, self.spec.heads, *mask.shape[2:])
        result = fresh(tape, joined, fmt, "alibi and mask")
        del where
        return result

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, spec = self.blocks[index], self.spec
        residual = hidden
        normed = one.norms["input_layernorm"](hidden)
        assert mask is not None
        output, weights = self._alibi_attention(index, one, normed, run, shared[2], mask)
        residual = dropout_add(output, residual, spec.attention_dropout if run.training else 0.0)
        mlp_normed = one.norms["post_attention_layernorm"](residual)
        mlp_output = self._mlp(one, mlp_normed)
        result = dropout_add(mlp_output, residual, spec.residual_dropout if run.training else 0.0)
        del normed, output
        return Beside(result, weights)

    def _alibi_attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, alibi: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        spec, tape = self.spec, hidden.tape
        b, s, heads, d = run.batch, run.length, spec.heads, spec.head_dim
        p = spec.attention_dropout if run.training else 0.0
        fused = one.linears["query_key_value"](hidden)
        query, key, value = (ops.slice_last(fused, spec.hidden).view(b, heads, s, d) for _ in range(3))
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        dense = run.cache is not None
        fmt = hidden.format
        if not run.eager:

            def fused_core() -> tuple[Tensor, list[Tensor | None]]:
                return ops.attend(query, key, value, mask, False, run.attention, p, dense), []

            out, _ = recomputed(run, [query, key, value, mask], fused_core)
            kernel = ops.chosen_kernel(out.format, d, False, True, run.attention)
            out = ops.contiguous(out, ops.output_copies(kernel, d, tape.reorders(heads)), (b, s, spec.hidden))
            return one.linears["dense"](out), None
        folds = tape.folds(heads)
        copies = (folds and not tape.one_token, folds and not dense)

        def core() -> tuple[Tensor, list[Tensor | None]]:
            product = ops.batched_product(query, key, (b, heads, s, run.past + s), copies)
            scores = ops.to(product, Format.FP32)
            logits = ops.add(scores, alibi)
            logits = ops.scale(logits, "mul_")  # in place in the model code
            summed = ops.add(logits, mask)
            probs = ops.softmax(summed, fmt)
            del summed
            probs = ops.dropout(probs, p)
            out = ops.batched_product(probs, value, (b, heads, s, d), (False, folds and not dense))
            return out, [probs, product, scores, logits]

        out, held = recomputed(run, [query, key, value, alibi, mask], core)
        out = ops.contiguous(out, tape.reorders(heads), (b, s, spec.hidden))
        out = one.linears["dense"](out)
        probs = held[0]
        del held, fused
        return out, probs
