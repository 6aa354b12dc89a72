"""The VAE (AutoencoderKL): its weights, and its decoder from latents to pixels.

Counts agree with diffusers 0.42 on the meta device: 83,653,863 with 4 latent channels, 83,819,683 with 16.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.layers import Maker
from memcalc.diffusion import parts
from memcalc.diffusion.maps import LATENT_SCALE, Sides, feature_map, normed, resnet
from memcalc.diffusion.parts import Part, conv, norm
from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments

CHANNELS = (128, 256, 512, 512)


@dataclass(frozen=True, slots=True)
class Vae:
    """One VAE. ``tile``: pixels a side of a tile [tile_sample_min_size = sample_size]; ``mixed``: 1 × 1 convolutions
    at both ends of the latents [use_quant_conv]; ``upcast``: pipelines in fp16 run it in fp32 [force_upcast]."""

    latents: int = 16
    tile: int = 1024
    mixed: bool = False
    upcast: bool = False

    def part(self, make: Maker) -> Part:
        """Encoder and decoder: both lie on the card."""
        first, *_, last = CHANNELS
        conv(make, "encoder.conv_in", 3, first)
        before = first
        for i, width in enumerate(CHANNELS):
            for j in range(2):
                parts.resnet(make, f"encoder.down.{i}.{j}", before, width)
                before = width
            if i < len(CHANNELS) - 1:
                conv(make, f"encoder.down.{i}.downsample", width, width)
        _middle(make, "encoder.mid", last)
        norm(make, "encoder.norm_out", last)
        conv(make, "encoder.conv_out", last, 2 * self.latents)
        conv(make, "decoder.conv_in", self.latents, last)
        _middle(make, "decoder.mid", last)
        before = last
        for i, width in enumerate(reversed(CHANNELS)):
            for j in range(3):
                parts.resnet(make, f"decoder.up.{i}.{j}", before, width)
                before = width
            if i < len(CHANNELS) - 1:
                conv(make, f"decoder.up.{i}.upsample", width, width)
        norm(make, "decoder.norm_out", first)
        conv(make, "decoder.conv_out", first, 3)
        if self.mixed:
            conv(make, "quant_conv", 2 * self.latents, 2 * self.latents, 1)
            conv(make, "post_quant_conv", self.latents, self.latents, 1)
        return Part("VAE", "decode", make.parameters)

    def decode(self, images: int, sides: Sides, fmt: Format, slicing: bool, tiling: bool) -> list[Segment]:
        """The decoder from latents to ``images`` pictures of ``sides`` (height, width). ``slicing``: one image at a
        time; ``tiling``: one tile at a time. What is decoded already waits for the rest; tiles overlap by a quarter and
        are joined at the end [diffusers 0.42 models/autoencoders/autoencoder_kl.py: decode, tiled_decode]."""
        tape = Tape()
        tape.grad_enabled = False
        tape.begin("decode", "latents")
        height, width = sides
        small = (height // LATENT_SCALE, width // LATENT_SCALE)
        latents = feature_map(tape, images, self.latents, small, fmt, "latents")
        slicing = slicing and images > 1
        tiled = tiling and max(height, width) > self.tile
        pixels = _tiled(height, self.tile) * _tiled(width, self.tile) if tiled else height * width
        pictures = fresh(tape, (images, 3, pixels), fmt, "pictures") if slicing or tiled else None
        if tiled:
            small = (min(height, self.tile) // LATENT_SCALE, min(width, self.tile) // LATENT_SCALE)
        at_once = 1 if slicing else images
        mixed = feature_map(tape, at_once, self.latents, small, fmt, "conv (post_quant)") if self.mixed else None
        out = _decoder(tape, at_once, small, fmt)
        del out, mixed
        found = segments(tape)
        del latents, pictures
        return found


def _middle(make: Maker, name: str, width: int) -> None:
    parts.resnet(make, f"{name}.0", width, width)
    norm(make, f"{name}.attn.group_norm", width)
    for one in ("to_q", "to_k", "to_v", "to_out"):
        make.parameter(f"{name}.attn.{one}.weight", width, width)
        make.parameter(f"{name}.attn.{one}.bias", width)
    parts.resnet(make, f"{name}.1", width, width)


def _tiled(side: int, tile: int) -> int:
    """Pixels of all tiles along one side, each starting three quarters of a tile after the one before.

    >>> _tiled(2048, 1024)
    2560
    """
    return sum(min(tile, side - start) for start in range(0, side, tile * 3 // 4))


def _decoder(tape: Tape, batch: int, sides: Sides, fmt: Format) -> Tensor:
    """[diffusers 0.42 models/autoencoders/vae.py: Decoder.forward]; the caller's variable holds each block's input
    until the block is done."""
    channels = tuple(reversed(CHANNELS))
    tape.begin("decode", "middle")
    sample = feature_map(tape, batch, channels[0], sides, fmt, "conv (in)")
    sample = resnet(sample, channels[0])
    attended = [feature_map(tape, batch, channels[0], sides, fmt, "attention") for _ in range(5)]
    del attended
    sample = resnet(sample, channels[0])
    for i, width in enumerate(channels):
        tape.begin("decode", f"level {i + 1} of {len(channels)}, {sides[1]} × {sides[0]}")
        hidden = sample
        for _ in range(3):
            hidden = resnet(hidden, width)
        if i < len(channels) - 1:
            sides = (2 * sides[0], 2 * sides[1])
            hidden = feature_map(tape, batch, width, sides, fmt, "upsample")
            hidden = feature_map(tape, batch, width, sides, fmt, "conv (upsample)")
        sample = hidden
        del hidden
    tape.begin("decode", "pixels")
    sample = normed(sample)
    return feature_map(tape, batch, 3, sides, fmt, "conv (out)")
