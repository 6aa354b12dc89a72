"""DeepSeek-V2 and V3 (R1, Kimi-K2): latent attention, experts that every token goes through beside the chosen ones.

Mirrors transformers 5.23 models/deepseek_v2/modeling_deepseek_v2.py and models/deepseek_v3/modeling_deepseek_v3.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.latent import Latent
from memcalc.architectures.layers import Linear, activation
from memcalc.architectures.llama import Block, rotary_table, rotate
from memcalc.architectures.moe import SparseBlock
from memcalc.architectures.polar import polar_table, turned
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.routing import gather_columns, masked_fill, normalised_in_place, top_k
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class DeepSeekV2(Latent):
    """Greedy routing over an fp32 softmax, among all experts or those of the best groups; rotary positions as complex
    numbers in fp32."""

    def shared_experts(self, mlp: str, repeat: int) -> dict[str, Linear]:
        h, wide, bias = self.spec.hidden, self.spec.shared_ffn, self.spec.mlp_bias
        shapes = [("gate_proj", h, wide, bias), ("up_proj", h, wide, bias), ("down_proj", wide, h, bias)]
        return {one[0]: self.maker.linear(f"{mlp}.shared_experts", *one, repeat) for one in shapes}

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        if not isinstance(one, SparseBlock):
            return super().mlp(one, x)
        assert one.experts is not None
        batch, length, hidden = x.shape
        flat = x.view(batch * length, hidden)
        logits, weights, index = self.route(one, flat)
        out = one.experts(flat, index, weights).view(batch, length, hidden)
        out = ops.add(out, gated(one.linears, self.spec.activation, x))
        del logits, weights, index
        return out

    def route(self, one: SparseBlock, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Router logits (T, E) in fp32, each token's weights and experts (T, k)."""
        router, change = one.router_weight(x.tape)
        logits = ops.linear(ops.to(x, Format.FP32), router)
        scores = ops.softmax(logits, Format.FP32)
        if self.spec.grouped:
            scores = self._of_best_groups(scores)
        values, index = top_k(scores, self.spec.chosen)
        del router, change
        return logits, ops.scale(values), index

    def _of_best_groups(self, scores: Tensor) -> Tensor:
        """Scores (T, E) without those outside the groups whose best expert is among the best (Lite and the small ones
        have no groups). What finds the groups is cut from the graph at their indices."""
        spec, tape = self.spec, scores.tape
        tokens = scores.shape[0]
        group_scores = fresh(tape, (tokens, spec.groups), Format.FP32, "max")
        best = fresh(tape, (tokens, spec.groups), Format.INT64, "max")
        chosen = fresh(tape, (tokens, spec.chosen_groups), Format.INT64, "topk")
        group_mask = fresh(tape, (tokens, spec.groups), Format.FP32, "zeros_like")
        score_mask = fresh(tape, (tokens, spec.experts), Format.FP32, "expand")
        flags = fresh(tape, (tokens, spec.experts), Format.BOOL, "bool")
        outside = fresh(tape, (tokens, spec.experts), Format.BOOL, "bitwise_not")
        del flags
        left = masked_fill(scores, outside)
        del group_scores, best, chosen, group_mask, score_mask, outside
        return left

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return [polar_table(tape, run, self.rotary_dim)]

    def rotated(self, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        wide_query, wide_key = ops.to(query, Format.FP32), ops.to(key, Format.FP32)
        query_out = ops.to(turned(wide_query, shared[0], True), query.format)
        key_out = ops.to(turned(wide_key, shared[0], False), key.format)
        return query_out, key_out


class DeepSeekV3(DeepSeekV2):
    """Sigmoid scores, a correction that only chooses, groups of experts; interleaved or halved rotary positions."""

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        sparse = [one for one in self.plan if one.layer not in self.spec.dense_layers]
        count = sum(one.repeat for one in sparse)
        corrections = [("mlp.gate.e_score_correction_bias", (self.spec.experts,), Format.FP32)] * count
        return [*super().buffers(), *corrections]

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.rotary_dim, fmt)

    def rotated(self, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        cos, sin = shared[:2]
        if self.spec.interleaved:
            return _pairwise(query, cos, sin), _pairwise(key, cos, sin)
        return rotate(query, cos, sin), rotate(key, cos, sin)

    def route(self, one: SparseBlock, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        router, change = one.router_weight(x.tape)
        spec, tape = self.spec, x.tape
        tokens = x.shape[0]
        logits = ops.linear(ops.to(x, Format.FP32), router)
        logits = ops.to(logits, Format.FP32)
        scores = ops.sigmoid(logits)
        # What only chooses is cut from the graph here: no gradient comes back through it.
        corrected = fresh(tape, (tokens, spec.experts), Format.FP32, "add")
        best = (fresh(tape, (tokens, spec.groups, 2), Format.FP32, "topk"),
                fresh(tape, (tokens, spec.groups, 2), Format.INT64, "topk"))  # fmt: skip
        group_scores = fresh(tape, (tokens, spec.groups), Format.FP32, "sum")
        del best
        chosen = fresh(tape, (tokens, spec.chosen_groups), Format.INT64, "topk")
        group_mask = fresh(tape, (tokens, spec.groups), Format.FP32, "zeros_like")
        mask = fresh(tape, (tokens, spec.experts), Format.FP32, "expand")
        flags = [fresh(tape, (tokens, spec.experts), Format.BOOL, "bool") for _ in range(2)]
        masked = fresh(tape, (tokens, spec.experts), Format.FP32, "masked_fill")
        del flags, corrected
        index = fresh(tape, (tokens, spec.chosen), Format.INT64, "topk")
        values = gather_columns(scores, index)
        if spec.normalise:
            values = normalised_in_place(values)
        weights = ops.scale(values)
        del router, change, scores, group_scores, chosen, group_mask, mask, masked, values
        return logits, weights, index


def _pairwise(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Interleaved rotary positions of x (batch, heads, length, r): its even and odd values, each rotated."""
    half = x.shape[-1] // 2
    even, odd = ops.slice_last(x, half), ops.slice_last(x, half)
    cos, sin = (Tensor(one.storage, (*one.shape[:-1], half), one.format) for one in (cos, sin))
    first = ops.sub(ops.mul(even, cos), ops.mul(odd, sin))
    return ops.cat_halves(first, ops.add(ops.mul(odd, cos), ops.mul(even, sin)))


def gated(linears: dict[str, Linear], act: str, x: Tensor) -> Tensor:
    """A gated feed-forward of three linear layers."""
    return linears["down_proj"](ops.mul(activation(act, linears["gate_proj"](x)), linears["up_proj"](x)))
