"""LoRA on parameters that are no linear layers', as PEFT attaches it to mixtures of experts.

What were linear layers in transformers 4 (``gate_proj`` of an expert, the router's ``gate``) are parameters in version
5, and PEFT adapts these under the old names [peft 0.21 utils/transformers_weight_conversion.py].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from memcalc.architectures.experts import Experts
from memcalc.architectures.layers import Maker
from memcalc.tensors.ops import adapted
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

GATE_UP, DOWN, ROUTER = "gate_up_proj", "down_proj", "gate.weight"
MIXTRAL_NAMES = {"gate": ROUTER, "w1": GATE_UP, "w3": GATE_UP, "w2": DOWN}
"""Targets by their old names, and the parameter that each is part of."""
QWEN_NAMES = {"gate": ROUTER, "gate_proj": GATE_UP, "up_proj": GATE_UP, "down_proj": DOWN}


@dataclass(frozen=True, slots=True)
class Adapter:
    """The two matrices beside ``weight``: (out, in) or, for all experts at once, (E, out, in)."""

    weight: Parameter
    down: Parameter
    up: Parameter

    def factors(self, tape: Tape) -> tuple[Tensor, Tensor]:
        """What is multiplied for each expert, in the weight's format."""
        fmt = self.weight.format
        return adapted.factor(tape, self.up, fmt, True), adapted.factor(tape, self.down, fmt, False)

    def delta(self, tape: Tape) -> Tensor:
        """What is added to a matrix."""
        return adapted.delta(tape, self.down, self.up, self.weight.shape, self.weight.format)


def adapter(maker: Maker, weight: Parameter, target: str, names: Mapping[str, str], repeat: int) -> Adapter | None:
    """The adapter of the parameter called ``target``, if one is wanted: the rank is that of all the old layers in it
    together, and every expert has its own."""
    lora = maker.lora
    old = [name for name, parameter in names.items() if parameter == target]
    if lora is None or not any(lora.wants(name) for name in old):
        return None
    *count, outputs, inputs = weight.shape
    rank = lora.rank * len(old) * (count[0] if count else 1)
    down = maker.adapter(f"{weight.name}.lora_A.weight", rank, inputs, repeat=repeat)
    return Adapter(weight, down, maker.adapter(f"{weight.name}.lora_B.weight", outputs, rank, repeat=repeat))


@dataclass(frozen=True, slots=True)
class AdaptedExperts(Experts):
    """Experts whose tensors are seen with their adapters in them: each a copy of the whole tensor."""

    gate_up_adapter: Adapter | None = None
    down_adapter: Adapter | None = None

    def weights(self, tape: Tape) -> tuple[Callable[[], Parameter | Tensor], Callable[[], Parameter | Tensor]]:
        second = _seen(tape, self.down, self.down_adapter)
        return _seen(tape, self.gate_up, self.gate_up_adapter), second


def _seen(tape: Tape, weight: Parameter, one: Adapter | None) -> Callable[[], Parameter | Tensor]:
    """The weight as the experts see it, computed when it is first asked for."""
    if one is None:
        return lambda: weight
    factors = one.factors(tape)
    adapted.checked(weight, tape, "baddbmm")
    return lambda: adapted.folded(weight, *factors)


def router_weight(tape: Tape, weight: Parameter, one: Adapter | None) -> tuple[Parameter | Tensor, Tensor | None]:
    """A router's matrix as it is seen, and what was added to it, which lives as long as the router runs."""
    if one is None:
        return weight, None
    change = one.delta(tape)
    adapted.checked(weight, tape, "add")
    return adapted.summed(weight, change), change
