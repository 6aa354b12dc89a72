"""What stands beside the activations: weights, gradients, optimizer states, and what the optimizer's step needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memcalc.architectures.program import Program
from memcalc.formats import Format
from memcalc.scenario import Training
from memcalc.tensors.tape import BLOCK, rounded
from memcalc.tensors.tensor import Parameter
from memcalc.training.optimizers import StepMemory, step_memory
from memcalc.training.precision import Precision


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands beside the activations, in bytes: weights, gradients, optimizer.

    ``gradients``: between micro-batches; ``at_step``: when the optimizer steps, if that is less. ``buckets``:
    gradients that are there from the start; ``buffers``: room for communication that is. ``copies``: temporaries of
    the step besides the optimizer's own; ``casting``: those of casting the gradients, which are gone when the optimizer
    begins. ``host``: what lies in the computer's memory instead. ``lasting``: the gradients to count among what
    persists, if not those at the step. ``norms``: gradient clipping's, before the optimizer begins.
    """

    weights: int
    gradients: int
    gradients_stay: bool
    masters: int
    ema: int
    step: StepMemory
    at_step: int | None = None
    buckets: int = 0
    buffers: int = 0
    copies: int = 0
    casting: int = 0
    host: int = 0
    lasting: int | None = None
    norms: int = 0

    @property
    def stepped(self) -> int:
        """Gradients when the optimizer steps."""
        return self.gradients if self.at_step is None else self.at_step

    @property
    def persistent(self) -> int:
        """Weights, gradients and optimizer states when all exist."""
        gradients = self.stepped if self.lasting is None else self.lasting
        return self.weights + self.ema + gradients + self.buckets + self.masters + self.step.state_bytes

    def temporary(self, number: int) -> int:
        """The most that step ``number`` needs for a moment above all that."""
        # Norms are taken before the step: before the states exist, the first time.
        missing = self.step.state_bytes if number == 1 and not self.step.at_load else 0
        return max(
            self.casting, self.norms - missing, self.copies + (self.step.first if number == 1 else self.step.later)
        )


def weight_bytes(program: Program) -> int:
    """Parameters and buffers on the device, each rounded to the allocator's block."""
    return sum(one.bytes() * one.repeat for one in program.parameters) + buffer_bytes(program)


def buffer_bytes(program: Program) -> int:
    """Buffers on the device, each rounded to the allocator's block."""
    total = 0
    for _, shape, fmt in program.buffers():
        count = 1
        for dim in shape:
            count *= dim
        total += rounded(count * fmt.size)
    return total


def clip_bytes(trained: Sequence[Parameter]) -> int:
    """``clip_grad_norm_``: a norm for each gradient, all of them stacked, and their norm; gradients are scaled in place
    [torch 2.13 torch/nn/utils/clip_grad.py].

    >>> clip_bytes([Parameter("w", (4, 4), Format.FP32, repeat=300)])   # 300 norms of 512 B, 1,200 B stacked, one norm
    155648
    """
    number = sum(one.repeat for one in trained)
    return number * BLOCK + int(rounded(number * Format.FP32.size)) + BLOCK if number else 0


def step_options(program: Program, settings: Training) -> Mapping[str, Any]:
    """The optimizer's options, with what some take from the model: the values of a head's matrix (Adam-mini)."""
    if settings.optimizer != "adam-mini":
        return settings.optimizer_options
    return {**settings.optimizer_options, "head_values": program.spec.hidden**2 // program.spec.heads}


def standing(program: Program, settings: Training, precision: Precision) -> Standing:
    """Weigh the program's parameters under ``settings``, on one device."""
    trained = [one for one in program.parameters if one.trainable]
    halves = [one for one in trained if one.format.is_half]
    # fp32 gradients of 16-bit weights are buffers that stay (Megatron's main_grad): each 16-bit gradient is
    # added into them and dropped.
    gradient_format = Format.FP32 if settings.gradient_dtype == "fp32" else None
    wide = sum(one.bytes(Format.FP32) * one.repeat for one in halves)
    step = step_memory(
        settings.optimizer,
        settings.optimizer_impl,
        trained,
        step_options(program, settings),
        Format.FP32 if precision.master else None,
    )
    masters = wide if precision.master else 0
    return Standing(
        weights=weight_bytes(program),
        gradients=sum(one.bytes(gradient_format) * one.repeat for one in trained),
        gradients_stay=gradient_format is not None,
        masters=masters,
        ema=sum(one.bytes() * one.repeat for one in trained) if settings.ema else 0,
        step=step,
        # fp32 masters are stepped with fp32 copies of the 16-bit gradients, unless those are fp32 already
        copies=0 if gradient_format is not None else masters,
        norms=clip_bytes(trained) if settings.clip_grad else 0,
    )
