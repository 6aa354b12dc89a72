"""Mixtures with experts that every token goes through beside the chosen ones, and routing by sigmoid scores in groups
(DeepSeek, GLM-4.5).

Mirrors transformers 5.23 models/deepseek_v3/modeling_deepseek_v3.py and models/glm4_moe/modeling_glm4_moe.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.layers import Linear, activation
from memcalc.architectures.llama import Block
from memcalc.architectures.moe import Mixtral, MoeSpec, SparseBlock
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.routing import gather_columns, normalised_in_place
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class SharedSpec(MoeSpec):
    """A mixture with shared experts (``shared_ffn``: their width together); whether experts are chosen in
    ``chosen_groups`` of ``groups`` (``grouped``)."""

    shared_ffn: int = 0
    grouped: bool = False
    groups: int = 1
    chosen_groups: int = 1


class SharedExperts(Mixtral):
    """The chosen experts first, then those that all go through. Families give ``route``."""

    spec: SharedSpec

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
        """Router logits (T, E), each token's weights and experts (T, k)."""
        raise NotImplementedError


class SigmoidRouting(SharedExperts):
    """Sigmoid scores in fp32, a correction that only chooses, groups of experts."""

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        sparse = [one for one in self.plan if one.layer not in self.spec.dense_layers]
        count = sum(one.repeat for one in sparse)
        corrections = [("mlp.gate.e_score_correction_bias", (self.spec.experts,), Format.FP32)] * count
        return [*super().buffers(), *corrections]

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


def gated(linears: dict[str, Linear], act: str, x: Tensor) -> Tensor:
    """A gated feed-forward of three linear layers."""
    return linears["down_proj"](ops.mul(activation(act, linears["gate_proj"](x)), linears["up_proj"](x)))
