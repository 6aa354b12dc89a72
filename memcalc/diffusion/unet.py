"""U-Nets of Stable Diffusion 1.5 and SDXL: sizes, weights, and one denoising step.

Counts agree with diffusers 0.42 on the meta device: 859,520,964 parameters (1.5), 2,567,463,684 (SDXL).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.layers import Maker
from memcalc.diffusion.maps import LATENT_SCALE, Sides, feature_map, like, made, normed, product, resnet
from memcalc.diffusion.parts import Part, conv, norm
from memcalc.diffusion.parts import resnet as resnet_weights
from memcalc.diffusion.text import CLIP_TOKENS, Encoder
from memcalc.diffusion.vae import Vae
from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments


@dataclass(frozen=True, slots=True)
class UNetSpec:
    """A pipeline with UNet2DConditionModel. ``channels``: of each level, the finest first; ``depth``: transformer
    blocks of a level's every attention (0: none); ``linear``: those are entered by linear layers, not convolutions;
    ``added``: width of the pooled text and sizes that join the time embedding (0: none); ``checker``: the pipeline
    comes with a safety checker; ``negative``: several text encoders run again for the negative prompt."""

    name: str
    pipeline: str
    encoders: tuple[Encoder, ...]
    vae: Vae
    side: int
    steps: int
    channels: tuple[int, ...]
    depth: tuple[int, ...]
    text_width: int
    heads: tuple[int, ...]
    linear: bool = False
    added: int = 0
    layers: int = 2
    checker: bool = False
    component: str = "unet"
    model: str = "UNet2DConditionModel"
    gguf: bool = False
    doubles: bool = True
    negative: bool = False

    @property
    def multiple(self) -> int:
        """Pixels: the VAE's 8. Sides that the levels do not divide are resized on the way [upsample_size]."""
        return LATENT_SCALE

    @property
    def text_tokens(self) -> int:
        """Tokens that CLIP reads, always."""
        return CLIP_TOKENS

    def note(self) -> str:
        """What is to be said about guidance."""
        return "guidance: the denoiser takes each picture twice, with the prompt and without"

    def tokens(self, sides: Sides) -> int:
        """Positions of the finest level."""
        return (sides[0] // LATENT_SCALE) * (sides[1] // LATENT_SCALE)

    def part(self, make: Maker) -> Part:
        """UNet2DConditionModel [diffusers models/unets/unet_2d_condition.py]."""
        first, last = self.channels[0], self.channels[-1]
        time, latents = 4 * first, self.vae.latents
        conv(make, "conv_in", latents, first)
        make.linear("time_embedding", "linear_1", first, time, True)
        make.linear("time_embedding", "linear_2", time, time, True)
        if self.added:
            make.linear("add_embedding", "linear_1", self.added, time, True)
            make.linear("add_embedding", "linear_2", time, time, True)
        kept = [first]
        before = first
        for i, (width, depth) in enumerate(zip(self.channels, self.depth, strict=True)):
            for j in range(self.layers):
                resnet_weights(make, f"down.{i}.{j}", before, width, time)
                self._attention(make, f"down.{i}.attn.{j}", width, depth)
                before = width
                kept.append(width)
            if i < len(self.channels) - 1:
                conv(make, f"down.{i}.downsample", width, width)
                kept.append(width)
        for j in range(2):
            resnet_weights(make, f"mid.{j}", last, last, time)
        self._attention(make, "mid.attn", last, self.depth[-1] or 1)
        for i, (width, depth) in enumerate(reversed(list(zip(self.channels, self.depth, strict=True)))):
            for j in range(self.layers + 1):
                resnet_weights(make, f"up.{i}.{j}", before + kept.pop(), width, time)
                self._attention(make, f"up.{i}.attn.{j}", width, depth)
                before = width
            if i < len(self.channels) - 1:
                conv(make, f"up.{i}.upsample", width, width)
        norm(make, "conv_norm_out", first)
        conv(make, "conv_out", first, latents)
        return Part("denoiser", "denoise", make.parameters)

    def _attention(self, make: Maker, name: str, d: int, depth: int) -> None:
        """Transformer2DModel: self-attention, attention to the text, gated feed-forward; ``depth`` times."""
        if not depth:
            return
        norm(make, f"{name}.norm", d)
        for end in ("proj_in", "proj_out"):
            if self.linear:
                make.linear(name, end, d, d, True)
            else:
                conv(make, f"{name}.{end}", d, d, 1)
        for one in ("norm1", "norm2", "norm3"):
            norm(make, f"{name}.block.{one}", d, depth)
        for attention, width in (("attn1", d), ("attn2", self.text_width)):
            make.linear(f"{name}.block.{attention}", "to_q", d, d, False, depth)
            for one in ("to_k", "to_v"):
                make.linear(f"{name}.block.{attention}", one, width, d, False, depth)
            make.linear(f"{name}.block.{attention}", "to_out", d, d, True, depth)
        make.linear(f"{name}.block.ff", "proj", d, 8 * d, True, depth)
        make.linear(f"{name}.block.ff", "out", 4 * d, d, True, depth)

    def denoise(self, batch: int, text: int, sides: Sides, fmt: Format, scratch: int) -> list[Segment]:
        """One pass over ``batch`` latents and ``text`` tokens. The blocks of one attention hold the same while they
        run, so one of them stands for all. ``scratch``: bytes of the largest matrix made whole for a moment from its
        quantised form."""
        tape = Tape()
        tape.grad_enabled = False
        tape.begin("denoise", "inputs")
        small = (sides[0] // LATENT_SCALE, sides[1] // LATENT_SCALE)
        latents = feature_map(tape, batch, self.vae.latents, small, fmt, "latents")
        prompt = fresh(tape, (batch, text, self.text_width), fmt, "prompt embeddings")
        temb = fresh(tape, (batch, 4 * self.channels[0]), fmt, "time embedding")
        sample = like(latents, self.channels[0], "conv (in)")
        kept = [sample]
        for i, (width, depth) in enumerate(zip(self.channels, self.depth, strict=True)):
            tape.begin("denoise", _level("down", i, sample))
            for _ in range(self.layers):
                sample = resnet(sample, width, timed=True)
                sample = _attended(sample, text, depth, scratch, self.linear)
                kept.append(sample)
            if i < len(self.channels) - 1:
                halved = ((sample.shape[2] + 1) // 2, (sample.shape[3] + 1) // 2)
                sample = feature_map(tape, batch, width, halved, fmt, "conv (downsample)")
                kept.append(sample)
        tape.begin("denoise", "middle")
        sample = resnet(sample, self.channels[-1], timed=True)
        sample = _attended(sample, text, self.depth[-1] or 1, scratch, self.linear)
        sample = resnet(sample, self.channels[-1], timed=True)
        for i, (width, depth) in enumerate(reversed(list(zip(self.channels, self.depth, strict=True)))):
            tape.begin("denoise", _level("up", i, sample))
            # The level's own inputs from below and aside are held by the caller until it is done.
            aside = kept[-self.layers - 1 :]
            del kept[-self.layers - 1 :]
            size = (kept[-1].shape[2], kept[-1].shape[3]) if kept else None
            sample = self._up(sample, aside, width, depth, size, text, scratch)
            del aside
        tape.begin("denoise", "output")
        sample = normed(sample)
        sample = like(sample, self.vae.latents, "conv (out)")
        found = segments(tape)
        del sample, kept, latents, prompt, temb
        return found

    def _up(
        self, x: Tensor, aside: Sequence[Tensor], width: int, depth: int, size: Sides | None, text: int, scratch: int
    ) -> Tensor:
        """One level on the way up; ``size``: of the next level's maps (None: this is the last)."""
        hidden = x
        for one in reversed(aside):
            hidden = like(one, hidden.shape[1] + one.shape[1], "cat")
            hidden = resnet(hidden, width, timed=True)
            hidden = _attended(hidden, text, depth, scratch, self.linear)
        if size is not None:
            hidden = feature_map(x.tape, x.shape[0], width, size, x.format, "upsample")
            hidden = like(hidden, width, "conv (upsample)")
        return hidden


def _level(way: str, place: int, x: Tensor) -> str:
    return f"{way}, level {place + 1}, {x.shape[3]} × {x.shape[2]}"


def _attended(x: Tensor, text: int, depth: int, scratch: int, linear: bool) -> Tensor:
    """[diffusers 0.42 models/transformers/transformer_2d.py: Transformer2DModel.forward]; ``x`` is the residual."""
    if not depth:
        return x
    batch, width, height, across = x.shape
    grouped = like(x, width, "group_norm")
    # Tokens are a view of the map, which linear layers copy and convolutions do not.
    if linear:
        tokens = fresh(x.tape, (batch, height * across, width), x.format, "copy")
        hidden = product(tokens, width, scratch)
        del tokens, grouped
    else:
        grouped = like(grouped, width, "conv (in)")
        hidden = grouped.view(batch, height * across, width)
        del grouped
    hidden = _block(hidden, text, scratch)
    if linear:
        hidden = product(hidden, width, scratch)
    out = like(x, width, "copy")
    del hidden
    if not linear:
        out = like(out, width, "conv (out)")
    return like(out, width, "add")


def _block(x: Tensor, text: int, scratch: int) -> Tensor:
    """[diffusers 0.42 models/attention.py: BasicTransformerBlock.forward]; one local holds the norms' results."""
    d = x.shape[-1]
    inner = made(x, d, "layer_norm")
    out = _attention(inner, inner, d, scratch)
    hidden = made(x, d, "add")
    inner = made(hidden, d, "layer_norm")
    words = fresh(x.tape, (x.shape[0], text, d), x.format, "text")
    out = _attention(inner, words, d, scratch)
    del words
    hidden = made(out, d, "add")
    inner = made(hidden, d, "layer_norm")
    wide = product(inner, 8 * d, scratch)
    gate = made(inner, 4 * d, "gelu")
    wide, gate = made(inner, 4 * d, "mul"), wide
    del gate
    fed = product(wide, d, scratch)
    del wide
    hidden = made(fed, d, "add")
    del inner, out, fed
    return hidden


def _attention(x: Tensor, other: Tensor, d: int, scratch: int) -> Tensor:
    """Queries of ``x``, keys and values of ``other`` [AttnProcessor2_0]."""
    query = product(x, d, scratch)
    key, value = product(other, d, scratch), product(other, d, scratch)
    hidden = made(query, d, "attention")
    out = product(hidden, d, scratch)
    scaled = made(out, d, "div")
    del query, key, value, hidden, out
    return scaled
