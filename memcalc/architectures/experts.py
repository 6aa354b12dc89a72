"""A mixture of experts as transformers runs it: a router, and all experts in grouped products.

Mirrors transformers 5.23 integrations/moe.py (``grouped_mm_experts_forward``, what it takes on CUDA from compute
capability 8.0) and the routers of models/mixtral and models/qwen3_moe.
"""

from __future__ import annotations

from collections.abc import Callable
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
from memcalc.tensors.tape import Size, Tape
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
        gate_up = maker.experts(f"{path}.gate_up_proj", count, hidden, 2 * width, repeat)
        down = maker.experts(f"{path}.down_proj", count, width, hidden, repeat)
        return cls(count, width, act, gate_up, down)

    @property
    def hidden(self) -> int:
        """Values of a token."""
        return self.down.shape[1]

    def weights(self, tape: Tape) -> tuple[Callable[[], Parameter | Tensor], Callable[[], Parameter | Tensor]]:
        """What gives the two tensors when they are needed."""
        return lambda: self.gate_up, lambda: self.down

    def biases(self, index: int, sorted_ids: Tensor, rows: Size) -> Tensor | None:
        """What is added to the first or second product's rows (S, …): nothing, unless the experts have biases."""
        return None

    def gated(self, gate_up: Tensor) -> Tensor:
        """From gate and up values (S, 2·width) to (S, width)."""
        gate, up = ops.chunk_last(gate_up, 2)
        return ops.mul(activation(self.activation, gate), up)

    def __call__(self, x: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """Tokens x (T, h), each through its own k experts (index, weights: (T, k)), summed: (T, h)."""
        tape, fmt = x.tape, x.format
        tokens, k = index.shape
        first, second = self.weights(tape)
        rows = tokens * k
        sorted_ids = fresh(tape, (rows,), Format.INT64, "sort")
        order = fresh(tape, (rows,), Format.INT64, "sort")
        selected = gather_rows(x, fresh(tape, (rows,), Format.INT64, "floor_divide"), rows)
        row_weights = gather_rows(weights.view(rows), order, rows)
        counted = fresh(tape, (rows,), Format.INT32, "to")
        per_expert = fresh(tape, (self.count,), Format.INT32, "histc")
        offsets = fresh(tape, (self.count,), Format.INT32, "cumsum")
        biases = self.biases(0, sorted_ids, rows)
        gate_up = first()
        out = grouped_product(selected, gate_up, 2 * self.width, offsets, biases)
        out = self.gated(out)
        biases = self.biases(1, sorted_ids, rows)
        down = second()
        out = grouped_product(out, down, self.hidden, offsets, biases)
        weighted = weigh_rows(out, row_weights)
        back = fresh(tape, (rows,), Format.INT64, "empty_like")
        counting = fresh(tape, (rows,), Format.INT64, "arange")
        del counting
        weighted = gather_rows(weighted, back, rows)
        result = ops.to(sum_slots(weighted, tokens), fmt)
        del sorted_ids, order, selected, row_weights, counted, per_expert, offsets, biases, out, weighted, back
        del first, second, gate_up, down
        return result


def softmax_router(
    x: Tensor, weight: Parameter | Tensor, k: int, normalise: bool, narrow: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Router logits (T, E), and each token's weights and experts (T, k): softmax in fp32 over all experts, the k
    best, divided by their sum (``normalise``), cast to the logits' format (``narrow``)."""
    logits = ops.linear(x, weight)
    scores = ops.softmax(logits, Format.FP32)
    values, index = top_k(scores, k)
    if normalise:
        values = normalised_in_place(values)
    return logits, ops.to(values, logits.format) if narrow else values, index
