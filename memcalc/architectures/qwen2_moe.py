"""Qwen2-MoE (Qwen1.5-MoE): Qwen3-MoE with biases instead of norms on queries and keys, and an expert for every token,
weighed by a gate of its own.

Mirrors transformers 5.23 models/qwen2_moe/modeling_qwen2_moe.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.experts import softmax_router
from memcalc.architectures.layers import Linear, activation
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.moe import Mixtral, MoeSpec, SparseBlock
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Qwen2MoeSpec(MoeSpec):
    """A Qwen2-MoE; the width of the expert that every token goes through."""

    shared_ffn: int = 5632


class Qwen2Moe(Mixtral):
    """The gated expert is computed first, on tokens in a row."""

    spec: Qwen2MoeSpec
    linear_names = (*Llama.linear_names, "shared_expert_gate")
    expert_names: ClassVar[Mapping[str, str]] = {}  # PEFT 0.21 does not know this one's
    narrow_weights = True

    def shared_experts(self, mlp: str, repeat: int) -> dict[str, Linear]:
        h, wide = self.spec.hidden, self.spec.shared_ffn
        shapes = [("gate_proj", h, wide, False), ("up_proj", h, wide, False), ("down_proj", wide, h, False)]
        made = {one[0]: self.maker.linear(f"{mlp}.shared_expert", *one, repeat) for one in shapes}
        made["shared_expert_gate"] = self.maker.linear(mlp, "shared_expert_gate", h, 1, False, repeat)
        return made

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        if not isinstance(one, SparseBlock):
            return super().mlp(one, x)
        assert one.experts is not None
        batch, length, hidden = x.shape
        flat = x.view(batch * length, hidden)
        gate, up, down = (one.linears[name] for name in ("gate_proj", "up_proj", "down_proj"))
        shared = down(ops.mul(activation(self.spec.activation, gate(flat)), up(flat)))
        router, change = one.router_weight(x.tape)
        logits, weights, index = softmax_router(
            flat, router, self.spec.chosen, self.spec.normalise, self.narrow_weights
        )
        del router, change
        out = one.experts(flat, index, weights)
        shared = ops.mul(shared, ops.sigmoid(one.linears["shared_expert_gate"](flat)))
        out = ops.add(out, shared)
        del logits, weights, index, shared
        return out.view(batch, length, hidden)

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        # Without sliding layers the window is 0, and a mask for it is made all the same, which no layer takes.
        return {None: self._mask(tape, run, fmt, None), 0: self._made_mask(tape, run, fmt, run.past + run.length)}
