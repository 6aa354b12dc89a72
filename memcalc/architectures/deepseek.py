"""DeepSeek-V2 and V3 (R1, Kimi-K2): latent attention, experts that every token goes through beside the chosen ones.

Mirrors transformers 5.23 models/deepseek_v2/modeling_deepseek_v2.py and models/deepseek_v3/modeling_deepseek_v3.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.latent import Latent, LatentSpec
from memcalc.architectures.llama import rotary_table, rotate
from memcalc.architectures.moe import SparseBlock
from memcalc.architectures.polar import polar_table, turned
from memcalc.architectures.run import Run
from memcalc.architectures.shared_moe import SharedExperts, SigmoidRouting
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.routing import masked_fill, top_k
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class DeepSeekV2(SharedExperts, Latent):
    """Greedy routing over an fp32 softmax, among all experts or those of the best groups; rotary positions as complex
    numbers in fp32."""

    spec: LatentSpec

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


class DeepSeekV3(SigmoidRouting, DeepSeekV2):
    """Sigmoid scores, a correction that only chooses, groups of experts; interleaved or halved rotary positions."""

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.rotary_dim, fmt)

    def rotated(self, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        cos, sin = shared[:2]
        if self.spec.interleaved:
            return _pairwise(query, cos, sin), _pairwise(key, cos, sin)
        return rotate(query, cos, sin), rotate(key, cos, sin)


def _pairwise(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Interleaved rotary positions of x (batch, heads, length, r): its even and odd values, each rotated."""
    half = x.shape[-1] // 2
    even, odd = ops.slice_last(x, half), ops.slice_last(x, half)
    cos, sin = (Tensor(one.storage, (*one.shape[:-1], half), one.format) for one in (cos, sin))
    first = ops.sub(ops.mul(even, cos), ops.mul(odd, sin))
    return ops.cat_halves(first, ops.add(ops.mul(odd, cos), ops.mul(even, sin)))
