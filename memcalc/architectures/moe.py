"""Mixtral, Qwen3-MoE and OLMoE: Llama with a mixture of experts in place of the feed-forward.

Mirrors transformers 5.23 models/{mixtral,qwen3_moe,olmoe}/modeling_*.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.adapters import (
    DOWN,
    GATE_UP,
    MIXTRAL_NAMES,
    QWEN_NAMES,
    ROUTER,
    AdaptedExperts,
    Adapter,
    adapter,
    router_weight,
)
from memcalc.architectures.experts import Experts, softmax_router
from memcalc.architectures.layers import Linear
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.olmo import wide_normed
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class MoeSpec(DecoderSpec):
    """A decoder with experts: how many there are, how many a token goes through, their width, which layers are
    dense all the same, and whether the chosen weights are divided by their sum."""

    experts: int = 8
    chosen: int = 2
    expert_ffn: int = 14336
    dense_layers: tuple[int, ...] = ()
    normalise: bool = True

    def kind(self, layer: int) -> object:
        return self.window(layer), layer in self.dense_layers

    def idle(self, parameters: Sequence[Parameter]) -> int:
        """How many of ``parameters`` belong to experts that a token does not go through."""
        routed = sum(one.count * one.repeat for one in parameters if ".experts." in one.name)
        return routed // self.experts * (self.experts - self.chosen)


@dataclass(slots=True)
class SparseBlock(Block):
    """A block with a router and experts (None in a dense layer)."""

    router: Parameter | None = None
    experts: Experts | None = None
    router_adapter: Adapter | None = None

    def router_weight(self, tape: Tape) -> tuple[Parameter | Tensor, Tensor | None]:
        """The router's matrix as it is seen, and what an adapter added to it."""
        assert self.router is not None
        return router_weight(tape, self.router, self.router_adapter)


class Mixtral(Llama):
    """Every token goes through ``chosen`` of the experts. ``expert_names``: under which names PEFT adapts the
    parameters of router and experts."""

    spec: MoeSpec
    linear_names: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "o_proj")
    peft_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")
    expert_names: ClassVar[Mapping[str, str]] = MIXTRAL_NAMES
    narrow_weights: ClassVar[bool] = False
    router_first: ClassVar[bool] = True

    def build(self) -> None:
        self.blocks = [self.make_layer(one.layer, f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("norm", self.spec.hidden)

    def make_layer(self, layer: int, path: str, repeat: int) -> Block:
        """The block of ``layer``, with its parameters in the order of named_parameters()."""
        if layer in self.spec.dense_layers:
            return self.make_block(path, repeat)
        spec, attn, mlp = self.spec, f"{path}self_attn", f"{path}mlp"
        linears = {one[0]: self.maker.linear(attn, *one, repeat) for one in self.attention_linears()}
        norms = {name: self.make_norm(f"{attn}.{name}", *shape, repeat=repeat) for name, shape in self.qk_norms()}
        router = self._router(mlp, repeat) if self.router_first else None
        experts = Experts.make(
            self.maker, f"{mlp}.experts", spec.experts, spec.hidden, spec.expert_ffn, spec.activation, repeat
        )
        router = router or self._router(mlp, repeat)
        linears |= self.shared_experts(mlp, repeat)
        norms |= {name: self.make_norm(f"{path}{name}", spec.hidden, repeat=repeat) for name in self.norm_names}
        return SparseBlock(linears, norms, router, *self.adapted(router, experts, repeat))

    def adapted(self, router: Parameter, experts: Experts, repeat: int) -> tuple[Experts, Adapter | None]:
        """Experts with adapters on their tensors, and the router's adapter, as far as they are wanted."""
        names = self.expert_names
        beside = adapter(self.maker, router, ROUTER, names, repeat)
        gate_up = adapter(self.maker, experts.gate_up, GATE_UP, names, repeat)
        down = adapter(self.maker, experts.down, DOWN, names, repeat)
        if gate_up is None and down is None:
            return experts, beside
        seen = AdaptedExperts(
            experts.count, experts.width, experts.activation, experts.gate_up, experts.down, gate_up, down
        )
        return seen, beside

    def shared_experts(self, mlp: str, repeat: int) -> dict[str, Linear]:
        """The linear layers of experts that every token goes through, if there are any."""
        return {}

    def _router(self, mlp: str, repeat: int) -> Parameter:
        return self.maker.parameter(f"{mlp}.gate.weight", self.spec.experts, self.spec.hidden, repeat=repeat)

    @property
    def idle_parameters(self) -> int:
        return self.spec.idle(self.parameters)

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        if not isinstance(one, SparseBlock):
            return super().mlp(one, x)
        assert one.experts is not None
        batch, length, hidden = x.shape
        flat = x.view(batch * length, hidden)
        router, change = one.router_weight(x.tape)
        logits, weights, index = softmax_router(
            flat, router, self.spec.chosen, self.spec.normalise, self.narrow_weights
        )
        del router, change
        out = one.experts(flat, index, weights)
        del logits
        return out.view(batch, length, hidden)


class Qwen3Moe(Mixtral):
    """Norms on queries and keys; the chosen weights are cast to the model's format."""

    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    expert_names = QWEN_NAMES
    narrow_weights = True
    router_first = False


class Olmoe(Mixtral):
    """OLMoE: norms on whole queries and keys."""

    expert_names = QWEN_NAMES

    narrow_weights = True

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        spec = self.spec
        return [("q_norm", (spec.heads * spec.head_dim,)), ("k_norm", (spec.kv_heads * spec.head_dim,))]

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        return wide_normed(self.spec, one, hidden, run)
