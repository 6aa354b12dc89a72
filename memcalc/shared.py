"""What the estimates of one search have in common: cards are read once, equal tapes are run once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from memcalc.architectures.spec import ModelSpec
from memcalc.hardware.fit import Device, device_for
from memcalc.hardware.machine import Machine
from memcalc.scenario import Hardware, Scenario, Training
from memcalc.tensors.tape import Size
from memcalc.training.step import Micro

_STEP_ONLY = ("optimizer", "optimizer_impl", "optimizer_options", "ema", "clip_grad")
"""Fields of Training that decide what the optimizer holds and what its step needs, and nothing on the tape."""


TapeKey = tuple[str, ModelSpec, float, Size, Size]


@dataclass(slots=True)
class Shared:
    """A memory for as long as one search takes. It may be used for one request only: a live card is not read again.
    Tapes are kept as sums, without their tensors, unless ``whole``. ``machine``: what is known of this machine's
    GPUs."""

    devices: dict[Hardware, Device | None] = field(default_factory=dict)
    tapes: dict[TapeKey, list[Micro]] = field(default_factory=dict)
    machine: Machine | None = None
    whole: bool = False

    def device(self, hardware: Hardware) -> Device | None:
        """The card to judge against."""
        if hardware not in self.devices:
            self.devices[hardware] = device_for(hardware, self.machine)
        return self.devices[hardware]


def tape_key(scenario: Scenario, spec: ModelSpec, capability: float, batch: Size, length: Size) -> TapeKey | None:
    """What two training scenarios must agree in to have one tape; None for a grid."""
    if not (isinstance(batch, int) and isinstance(length, int)):
        return None
    usual = Training()
    settings = replace(scenario.training, **{name: getattr(usual, name) for name in _STEP_ONLY})
    settings = replace(settings, grad_accumulation=min(2, settings.grad_accumulation))
    said = repr(replace(scenario, training=settings, hardware=Hardware(), expandable_segments=False, notes=()))
    return said, spec, capability, batch, length
