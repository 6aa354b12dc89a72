"""What all denoisers share as models by themselves: noisy latents, a time step and a condition in, the noise out; the
mean squared error between it and the noise that was added.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.images import ImageSpec
from memcalc.architectures.layers import Linear
from memcalc.architectures.program import Inputs, Program, given
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import maps
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor

LATENT = 8
"""Pixels a side of one latent [AutoencoderKL with four levels: three halvings]."""


@dataclass(frozen=True, slots=True)
class DenoiserSpec(ImageSpec):
    """A denoiser of latents with ``channels``, which gives ``outputs`` of them; ``text``: tokens of ``text_width``
    values that it is conditioned on (0: on labels)."""

    outputs: int = 4
    text: int = 0
    text_width: int = 0

    @property
    def attention_free(self) -> bool:
        return False

    @property
    def methods(self) -> tuple[str, ...]:
        return ("full",)

    def tokens(self, side: int) -> int:
        return (side // LATENT) ** 2


class Denoiser(Program):
    """A denoiser. Families give ``denoised`` and ``condition``."""

    spec: DenoiserSpec

    def embeddings(self) -> list[Parameter]:
        return []

    def condition(self, tape: Tape, run: Run) -> Inputs:
        """What it is conditioned on beside the time step."""
        raise NotImplementedError

    def denoised(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """From latents (batch, channels, side / 8, side / 8) to the noise in them."""
        raise NotImplementedError

    def inputs(self, tape: Tape, run: Run) -> Inputs:
        side = run.side // LATENT
        shape = (run.batch, self.spec.channels, side, side)
        found = {
            "sample": given(tape, shape, "latents", self.maker.format),
            "timestep": given(tape, (run.batch,), "time steps"),
            **self.condition(tape, run),
        }
        if run.training:
            found["target"] = given(tape, shape, "noise", self.maker.format)
        return found

    def outputs(self, tape: Tape, inputs: Inputs, run: Run) -> list[Tensor]:
        return [self.denoised(tape, inputs, run)]

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """Forward pass and mean squared error, in fp32."""
        sample = self.denoised(tape, inputs, run)
        sample = maps.first_channels(sample, self.spec.channels)
        loss = maps.mse_loss(sample, inputs["target"])
        del sample
        return loss


def sinusoids(tape: Tape, batch: Size, width: int, fmt: Format) -> Tensor:
    """Sines and cosines of each time step, in fp32 first [diffusers 0.42 models/embeddings.py]."""
    found = fresh(tape, (batch, width), Format.FP32, "time step (sinusoids)")
    return found if fmt is Format.FP32 else fresh(tape, (batch, width), fmt, "to")


def embedded_time(first: Linear, second: Linear, x: Tensor) -> Tensor:
    """diffusers' TimestepEmbedding."""
    x = first(x)
    x = ops.silu(x)
    return second(x)
