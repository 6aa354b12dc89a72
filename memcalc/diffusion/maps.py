"""Steps that several models share as tape: tensors over tokens, feature maps, a residual block of convolutions.

Local variables are held and dropped as the model code does. What cuDNN's convolutions take beside their results is not
on the tape (``memcalc.diffusion.answer``).
"""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor

LATENT_SCALE = 8
"""Pixels a side of one latent [AutoencoderKL with four levels: three halvings]."""
Sides = tuple[int, int]
"""Height and width."""


def made(x: Tensor, width: int, op: str, fmt: Format | None = None) -> Tensor:
    """A tensor like ``x`` (batch, tokens, width) of another width or format."""
    return fresh(x.tape, (*x.shape[:-1], width), fmt or x.format, op)


def product(x: Tensor, width: int, scratch: int) -> Tensor:
    """A linear layer; its weight is made whole for as long as it runs, if it is kept otherwise (``scratch`` bytes)."""
    whole = fresh(x.tape, (scratch,), Format.BOOL, "dequantised weight") if scratch else None
    out = made(x, width, "mm")
    del whole
    return out


def shifted(normed: Tensor) -> Tensor:
    """``normed * (1 + scale) + shift``: the product lives until the sum is made."""
    scaled = made(normed, normed.shape[-1], "mul")
    return made(scaled, normed.shape[-1], "add")


def modulated(x: Tensor) -> Tensor:
    """``norm(x) * (1 + scale) + shift``, the norm's result given up when the product is made."""
    normed = made(x, x.shape[-1], "layer_norm")
    scaled = made(x, x.shape[-1], "mul")
    del normed
    return made(scaled, x.shape[-1], "add")


def feature_map(tape: Tape, batch: int, channels: int, sides: Sides, fmt: Format, op: str) -> Tensor:
    """A tensor (batch, channels, height, width)."""
    return fresh(tape, (batch, channels, *sides), fmt, op)


def like(x: Tensor, channels: int, op: str) -> Tensor:
    """A feature map of the size of ``x`` with so many channels."""
    return fresh(x.tape, (x.shape[0], channels, *x.shape[2:]), x.format, op)


def normed(x: Tensor) -> Tensor:
    """``silu(group_norm(x))``."""
    grouped = like(x, x.shape[1], "group_norm")
    return like(grouped, x.shape[1], "silu")


def resnet(x: Tensor, width: int, timed: bool = False) -> Tensor:
    """[diffusers 0.42 models/resnet.py: ResnetBlock2D.forward]; ``timed``: the time embedding is added."""
    channels = x.shape[1]
    hidden = normed(x)
    hidden = like(hidden, width, "conv")
    if timed:
        hidden = like(hidden, width, "add")
    hidden = normed(hidden)
    hidden = like(hidden, width, "conv")
    if channels != width:
        x = like(x, width, "conv (shortcut)")
    total = like(hidden, width, "add")
    out = like(total, width, "div")
    del x, hidden, total
    return out
