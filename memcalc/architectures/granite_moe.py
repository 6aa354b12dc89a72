"""GraniteMoe (PowerMoE, Granite 3 MoE): Granite with a mixture of experts, and one that every token goes through beside
it (GraniteMoeShared).

Mirrors transformers 5.23 models/granitemoe/modeling_granitemoe.py and models/granitemoeshared/modeling_*.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.granite import Granite
from memcalc.architectures.layers import Linear, activation
from memcalc.architectures.llama import Block
from memcalc.architectures.moe import Mixtral, MoeSpec, SparseBlock
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.routing import top_k
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class GraniteMoeSpec(MoeSpec):
    """A GraniteMoe; ``shared_ffn``: the width of the expert that all go through, if there is one."""

    shared_ffn: int = 0


class GraniteMoe(Granite, Mixtral):
    """The best experts by their logits in fp32, weighed by a softmax over those."""

    spec: GraniteMoeSpec
    linear_names = (*Mixtral.linear_names, "input_linear", "output_linear")
    peft_targets = ()
    expert_names: ClassVar[Mapping[str, str]] = {}

    def shared_experts(self, mlp: str, repeat: int) -> dict[str, Linear]:
        h, wide = self.spec.hidden, self.spec.shared_ffn
        if not wide:
            return {}
        shapes = [("input_linear", h, 2 * wide, False), ("output_linear", wide, h, False)]
        return {one[0]: self.maker.linear(f"{mlp}.shared_mlp", *one, repeat) for one in shapes}

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        assert isinstance(one, SparseBlock)
        assert one.router is not None
        assert one.experts is not None
        batch, length, hidden = x.shape
        flat = x.view(batch * length, hidden)
        logits = ops.to(ops.linear(flat, one.router), Format.FP32)
        values, index = top_k(logits, self.spec.chosen)
        weights = ops.to(ops.softmax(values, Format.FP32), x.format)
        del values
        out = one.experts(flat, index, weights).view(batch, length, hidden)
        del logits, weights, index
        if not self.spec.shared_ffn:
            return out
        gate_up = one.linears["input_linear"](x)
        gate, up = ops.chunk_last(gate_up, 2)
        del gate_up
        shared = ops.mul(activation(self.spec.activation, gate), up)
        del gate, up
        return ops.add(out, one.linears["output_linear"](shared))
