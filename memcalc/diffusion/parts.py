"""One model of a pipeline as its weights, tensor by tensor; and the layers that VAE and U-Net share."""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.layers import Maker
from memcalc.tensors.tensor import Parameter


@dataclass(frozen=True, slots=True)
class Part:
    """One model of the pipeline. ``phase``: when it runs. ``buffers``: numbers that are no parameters and lie on the
    card in the same format. ``stays``: not offloaded. ``running``: it has other weights while it runs (the VAE in
    fp32)."""

    name: str
    phase: str
    parameters: list[Parameter]
    buffers: int = 0
    stays: bool = False
    running: Part | None = None

    @property
    def count(self) -> int:
        """Its parameters."""
        return sum(one.count * one.repeat for one in self.parameters) - self.buffers

    @property
    def bytes(self) -> int:
        """Bytes on the device, every tensor in blocks of its own."""
        return sum(one.bytes() * one.repeat for one in self.parameters)

    @property
    def largest(self) -> int:
        """Bytes of its largest tensor: what sequential offload holds, one module at a time."""
        return max(one.bytes() for one in self.parameters)


def conv(make: Maker, name: str, inputs: int, outputs: int, side: int = 3) -> None:
    """A convolution with a bias."""
    make.parameter(f"{name}.weight", outputs, inputs, side, side)
    make.parameter(f"{name}.bias", outputs)


def norm(make: Maker, name: str, width: int, repeat: int = 1) -> None:
    """A norm with weight and bias."""
    make.parameter(f"{name}.weight", width, repeat=repeat)
    make.parameter(f"{name}.bias", width, repeat=repeat)


def resnet(make: Maker, name: str, inputs: int, outputs: int, time: int = 0) -> None:
    """ResnetBlock2D; ``time``: width of the time embedding, 0 for none [diffusers models/resnet.py]."""
    norm(make, f"{name}.norm1", inputs)
    conv(make, f"{name}.conv1", inputs, outputs)
    if time:
        make.linear(name, "time_emb_proj", time, outputs, True)
    norm(make, f"{name}.norm2", outputs)
    conv(make, f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        conv(make, f"{name}.conv_shortcut", inputs, outputs, 1)
