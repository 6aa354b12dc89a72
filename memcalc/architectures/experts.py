"""A mixture of experts as transformers runs it: a router, and all experts in grouped products.

Mirrors transformers 5.23 integrations/moe.py (``grouped_mm_experts_forward``, what it takes on CUDA from compute
capability 8.0) and the routers of models/mixtral and models/qwen3_moe.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.layers import Maker, activation
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.routing import (
    gather_rows,
    grouped_product,
    normalised_in_place,
    sum_slots,
    top_k,
    weigh_rows,
)
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class Experts:
    """The routed experts of one block: ``count`` of width ``width``, three-dimensional weights."""

    count: int
    width: int
    activation: str
    gate_up: Parameter
    down: Parameter

    @classmethod
    def make(cls, maker: Maker, path: str, count: int, hidden: int, width: int, act: str, repeat: int) -> Experts:
        """With their parameters: gate and up (E, 2·width, hidden), down (E, hidden, width)."""
        gate_up = maker.parameter(f"{path}.gate_up_proj", count, 2 * width, hidden, repeat=repeat)
        down = maker.parameter(f"{path}.down_proj", count, hidden, width, repeat=repeat)
        return cls(count, width, act, gate_up, down)

    def __call__(self, x: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """Tokens x (T, h), each through its own k experts (index, weights: (T, k)), summed: (T, h)."""
        tape, fmt = x.tape, x.format
        tokens, k = index.shape
        rows = tokens * k
        sorted_ids = fresh(tape, (rows,), Format.INT64, "sort")
        order = fresh(tape, (rows,), Format.INT64, "sort")
        selected = gather_rows(x, fresh(tape, (rows,), Format.INT64, "floor_divide"), rows)
        row_weights = gather_rows(weights.view(rows), order, rows)
        counted = fresh(tape, (rows,), Format.INT32, "to")
        per_expert = fresh(tape, (self.count,), Format.INT32, "histc")
        offsets = fresh(tape, (self.count,), Format.INT32, "cumsum")
        out = grouped_product(selected, self.gate_up, 2 * self.width, offsets)
        gate, up = ops.chunk_last(out, 2)
        gated = ops.mul(activation(self.activation, gate), up)
        del gate, up
        out = gated
        del gated
        out = grouped_product(out, self.down, self.down.shape[1], offsets)
        weighted = weigh_rows(out, row_weights)
        back = fresh(tape, (rows,), Format.INT64, "empty_like")
        counting = fresh(tape, (rows,), Format.INT64, "arange")
        del counting
        weighted = gather_rows(weighted, back, rows)
        result = ops.to(sum_slots(weighted, tokens), fmt)
        del sorted_ids, order, selected, row_weights, counted, per_expert, offsets, out, weighted, back
        return result


def softmax_router(
    x: Tensor, weight: Parameter, k: int, normalise: bool, narrow: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Router logits (T, E), and each token's weights and experts (T, k): softmax in fp32 over all experts, the k
    best, divided by their sum (``normalise``), cast to the logits' format (``narrow``)."""
    logits = ops.linear(x, weight)
    scores = ops.softmax(logits, Format.FP32)
    values, index = top_k(scores, k)
    if normalise:
        values = normalised_in_place(values)
    return logits, ops.to(values, logits.format) if narrow else values, index
