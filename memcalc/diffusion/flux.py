"""FLUX.1: its transformer's sizes, weights, and one denoising step.

Counts agree with diffusers 0.42 on the meta device: 11,901,408,320 parameters (dev), 11,891,178,560 (schnell).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.layers import Maker
from memcalc.diffusion import text as encoders
from memcalc.diffusion.maps import LATENT_SCALE, Sides, made, modulated, product
from memcalc.diffusion.parts import Part
from memcalc.diffusion.text import Encoder
from memcalc.diffusion.vae import Vae
from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments

PATCH = 2
"""Latents a side of one token."""


@dataclass(frozen=True, slots=True)
class FluxSpec:
    """A pipeline with this transformer. ``guidance``: it reads the guidance scale as an input (dev)."""

    pipeline: ClassVar[str] = "FluxPipeline"
    component: ClassVar[str] = "transformer"
    model: ClassVar[str] = "FluxTransformer2DModel"
    side: ClassVar[int] = 1024
    multiple: ClassVar[int] = LATENT_SCALE * PATCH
    doubles: ClassVar[bool] = False
    gguf: ClassVar[bool] = True
    vae: ClassVar[Vae] = Vae()
    checker: ClassVar[bool] = False
    negative: ClassVar[bool] = False

    name: str
    layers: int = 19
    single_layers: int = 38
    heads: int = 24
    head_dim: int = 128
    in_channels: int = 64
    text_width: int = 4096
    pooled_width: int = 768
    guidance: bool = True

    @property
    def width(self) -> int:
        """Values of a token between the blocks."""
        return self.heads * self.head_dim

    @property
    def text_tokens(self) -> int:
        """Text tokens by default [FluxPipeline: max_sequence_length 512; schnell's own limit is 256]."""
        return 512 if self.guidance else 256

    @property
    def steps(self) -> int:
        """Steps by default [FluxPipeline: 28; schnell's model card: 4]."""
        return 28 if self.guidance else 4

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """CLIP for the pooled vector, T5 for the tokens."""
        return (encoders.CLIP_L, encoders.t5("text_encoder_2"))

    def note(self) -> str:
        """What is to be said about guidance."""
        return "guidance is an input of the model: nothing is doubled"

    def tokens(self, sides: Sides) -> int:
        """Image tokens of the transformer."""
        return (sides[0] // self.multiple) * (sides[1] // self.multiple)

    def part(self, make: Maker) -> Part:
        """FluxTransformer2DModel: double blocks for text and image side by side, then single blocks over both."""
        d, n, s = self.width, self.layers, self.single_layers
        make.linear("x_embedder", "proj", self.in_channels, d, True)
        make.linear("context_embedder", "proj", self.text_width, d, True)
        for name, width in (
            ("timestep", 256),
            *((("guidance", 256),) if self.guidance else ()),
            ("text", self.pooled_width),
        ):
            make.linear(f"{name}_embedder", "linear_1", width, d, True)
            make.linear(f"{name}_embedder", "linear_2", d, d, True)
        for side in ("", "_context"):
            make.linear(f"double.norm1{side}", "linear", d, 6 * d, True, n)
            for name in ("q", "k", "v", "out"):
                make.linear(f"double.attn{side}", f"to_{name}", d, d, True, n)
            for name in ("norm_q", "norm_k"):
                make.parameter(f"double.attn{side}.{name}", self.head_dim, repeat=n)
            make.linear(f"double.ff{side}", "net.0", d, 4 * d, True, n)
            make.linear(f"double.ff{side}", "net.2", 4 * d, d, True, n)
        make.linear("single.norm", "linear", d, 3 * d, True, s)
        make.linear("single", "proj_mlp", d, 4 * d, True, s)
        make.linear("single", "proj_out", 5 * d, d, True, s)
        for name in ("q", "k", "v"):
            make.linear("single.attn", f"to_{name}", d, d, True, s)
        for name in ("norm_q", "norm_k"):
            make.parameter(f"single.attn.{name}", self.head_dim, repeat=s)
        make.linear("norm_out", "linear", d, 2 * d, True)
        make.linear("proj_out", "proj", d, self.in_channels, True)
        return Part("denoiser", "denoise", make.parameters)

    def denoise(self, batch: int, text: int, sides: Sides, fmt: Format, scratch: int) -> list[Segment]:
        """One step of the transformer over ``text`` tokens and a picture of ``sides``: a double block, then single
        blocks. Equal blocks hold the same while they run, so one of each stands for all. ``scratch``: bytes of the
        largest matrix made whole for a moment from its quantised form."""
        image = self.tokens(sides)
        tape = Tape(batch == 1)
        tape.grad_enabled = False
        tape.begin("denoise", "inputs")
        latents = fresh(tape, (batch, image, self.in_channels), fmt, "latents")
        prompt = fresh(tape, (batch, text, self.text_width), fmt, "prompt embeddings")
        rotary = [fresh(tape, (text + image, self.head_dim), Format.FP32, name) for name in ("cos", "sin")]
        d = self.width
        hidden = made(latents, d, "mm")
        encoder = made(prompt, d, "mm")
        temb = fresh(tape, (batch, d), fmt, "conditioning")
        tape.begin("denoise", f"double blocks 1–{self.layers}")
        hidden, encoder = _double(self, hidden, encoder, scratch)
        tape.begin("denoise", f"single blocks 1–{self.single_layers}")
        hidden, encoder = _single(self, hidden, encoder, scratch)
        tape.begin("denoise", "output")
        out = made(latents, self.in_channels, "mm")
        del hidden, encoder, out
        parts = segments(tape)
        del latents, prompt, rotary, temb
        return parts


def _rotated(x: Tensor) -> Tensor:
    """apply_rotary_emb: two products and their sum in fp32 [diffusers 0.42 models/embeddings.py]."""
    turned = made(x, x.shape[-1], "stack")
    wide = made(x, x.shape[-1], "to", Format.FP32)
    first = made(wide, x.shape[-1], "mul")
    del wide
    wide = made(turned, x.shape[-1], "to", Format.FP32)
    second = made(wide, x.shape[-1], "mul")
    del wide
    total = made(first, x.shape[-1], "add")
    del first, second
    return made(total, x.shape[-1], "to", x.format)


def _double(spec: FluxSpec, hidden: Tensor, encoder: Tensor, scratch: int) -> tuple[Tensor, Tensor]:
    d = spec.width
    both = (hidden.shape[0], hidden.shape[1] + encoder.shape[1], d)
    normed, normed_text = modulated(hidden), modulated(encoder)
    sides = [[product(one, d, scratch) for one in (normed, normed_text)] for _ in range(3)]
    for pair in sides[:2]:  # queries and keys are normed
        for i in range(2):
            pair[i] = made(pair[i], d, "rms_norm")
    joined = [fresh(hidden.tape, both, hidden.format, "cat") for _ in range(3)]
    for i in range(2):
        joined[i] = _rotated(joined[i])
    out = made(joined[0], d, "attention")
    image, text = product(normed, d, scratch), product(normed_text, d, scratch)
    del sides, joined, out, normed, normed_text
    gated = made(image, d, "mul")
    hidden = made(gated, d, "add")
    del gated, image
    hidden = _feed_forward(hidden, scratch)
    gated = made(text, d, "mul")
    encoder = made(gated, d, "add")
    del gated, text
    return hidden, _feed_forward(encoder, scratch)


def _feed_forward(x: Tensor, scratch: int) -> Tensor:
    d = x.shape[-1]
    normed = modulated(x)
    wide = product(normed, 4 * d, scratch)
    wide = made(wide, 4 * d, "gelu")
    out = product(wide, d, scratch)
    del wide, normed
    gated = made(out, d, "mul")
    return made(gated, d, "add")


def _single(spec: FluxSpec, hidden: Tensor, encoder: Tensor, scratch: int) -> tuple[Tensor, Tensor]:
    d = spec.width
    length = hidden.shape[1] + encoder.shape[1]
    residual = fresh(hidden.tape, (hidden.shape[0], length, d), hidden.format, "cat")
    normed = modulated(residual)
    wide = product(normed, 4 * d, scratch)
    wide = made(wide, 4 * d, "gelu")
    query, key, value = (product(normed, d, scratch) for _ in range(3))
    query, key = made(query, d, "rms_norm"), made(key, d, "rms_norm")
    query = _rotated(query)
    key = _rotated(key)
    out = made(query, d, "attention")
    del query, key, value
    joined = made(residual, 5 * d, "cat")
    projected = product(joined, d, scratch)
    gated = made(projected, d, "mul")
    del projected, joined
    total = made(gated, d, "add")
    del gated, wide, normed, out, residual
    # Text and image are views of one tensor.
    return total.view(hidden.shape[0], hidden.shape[1], d), total.view(encoder.shape[0], encoder.shape[1], d)
