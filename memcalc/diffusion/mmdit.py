"""Stable Diffusion 3 and 3.5: sizes, weights, and one denoising step of their transformer.

Counts agree with diffusers 0.42 on the meta device: 2,028,328,000 parameters (3 medium), 2,243,171,520 (3.5 medium),
8,056,627,520 (3.5 large), each beside its table of positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.layers import Maker
from memcalc.diffusion import text as encoders
from memcalc.diffusion.maps import LATENT_SCALE, Sides, feature_map, made, modulated, product, shifted
from memcalc.diffusion.parts import Part, conv
from memcalc.diffusion.text import CLIP_TOKENS, Encoder
from memcalc.diffusion.vae import Vae
from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments

PATCH = 2
"""Latents a side of one token."""


@dataclass(frozen=True, slots=True)
class Sd3Spec:
    """A pipeline with SD3Transformer2DModel. ``positions``: a side of its table of positions; ``dual``: blocks that
    attend to the picture a second time; ``normed``: queries and keys are normed; ``negative``: the text
    encoders run again for the negative prompt, which is there by default."""

    pipeline: ClassVar[str] = "StableDiffusion3Pipeline"
    component: ClassVar[str] = "transformer"
    model: ClassVar[str] = "SD3Transformer2DModel"
    side: ClassVar[int] = 1024
    steps: ClassVar[int] = 28
    multiple: ClassVar[int] = LATENT_SCALE * PATCH
    doubles: ClassVar[bool] = True
    gguf: ClassVar[bool] = True
    vae: ClassVar[Vae] = Vae()
    checker: ClassVar[bool] = False
    negative: ClassVar[bool] = True

    name: str
    layers: int = 24
    heads: int = 24
    head_dim: int = 64
    in_channels: int = 16
    text_width: int = 4096
    pooled_width: int = 2048
    positions: int = 192
    dual: int = 0
    normed: bool = False

    @property
    def width(self) -> int:
        """Values of a token between the blocks."""
        return self.heads * self.head_dim

    @property
    def text_tokens(self) -> int:
        """Text tokens of T5 by default [max_sequence_length 256]."""
        return 256

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """Two of CLIP, joined side by side, and T5 behind them."""
        return (encoders.CLIP_L_PROJECTED, encoders.CLIP_G, encoders.t5("text_encoder_3"))

    def note(self) -> str:
        """What is to be said about guidance."""
        return "guidance: the denoiser takes each picture twice, with the prompt and without"

    def tokens(self, sides: Sides) -> int:
        """Image tokens of the transformer."""
        return (sides[0] // self.multiple) * (sides[1] // self.multiple)

    def part(self, make: Maker) -> Part:
        """SD3Transformer2DModel; the text of the last block goes nowhere, so that block has less of it
        [context_pre_only]."""
        d, n = self.width, self.layers
        conv(make, "pos_embed.proj", self.in_channels, d, PATCH)
        table = make.parameter("pos_embed.pos_embed", self.positions**2, d)
        for name, width in (("timestep", 256), ("text", self.pooled_width)):
            make.linear(f"{name}_embedder", "linear_1", width, d, True)
            make.linear(f"{name}_embedder", "linear_2", d, d, True)
        make.linear("context_embedder", "proj", self.text_width, d, True)
        if self.dual:
            make.linear("block.norm1.dual", "linear", d, 9 * d, True, self.dual)
        if n > self.dual:
            make.linear("block.norm1", "linear", d, 6 * d, True, n - self.dual)
        make.linear("block.norm1_context", "linear", d, 6 * d, True, n - 1)
        make.linear("block.norm1_context.last", "linear", d, 2 * d, True)
        for name in ("to_q", "to_k", "to_v", "to_out", "add_q_proj", "add_k_proj", "add_v_proj"):
            make.linear("block.attn", name, d, d, True, n)
        make.linear("block.attn", "to_add_out", d, d, True, n - 1)
        if self.dual:
            for name in ("to_q", "to_k", "to_v", "to_out"):
                make.linear("block.attn2", name, d, d, True, self.dual)
        if self.normed:
            for name, repeat in (("attn", 4 * n), ("attn2", 2 * self.dual)):
                if repeat:
                    make.parameter(f"block.{name}.norms", self.head_dim, repeat=repeat)
        for name, repeat in (("ff", n), ("ff_context", n - 1)):
            make.linear(f"block.{name}", "net.0", d, 4 * d, True, repeat)
            make.linear(f"block.{name}", "net.2", 4 * d, d, True, repeat)
        make.linear("norm_out", "linear", d, 2 * d, True)
        make.linear("proj_out", "proj", d, PATCH**2 * self.in_channels, True)
        return Part("denoiser", "denoise", make.parameters, buffers=table.count)

    def denoise(self, batch: int, text: int, sides: Sides, fmt: Format, scratch: int) -> list[Segment]:
        """One step over ``text`` tokens of T5, CLIP's 77 before them, and a picture of ``sides``. Equal blocks hold the
        same while they run, so the widest stands for all but the last. ``scratch``: bytes of the largest matrix made
        whole for a moment from its quantised form."""
        tape = Tape()
        tape.grad_enabled = False
        tape.begin("denoise", "inputs")
        small = (sides[0] // LATENT_SCALE, sides[1] // LATENT_SCALE)
        latents = feature_map(tape, batch, self.in_channels, small, fmt, "latents")
        prompt = fresh(tape, (batch, CLIP_TOKENS + text, self.text_width), fmt, "prompt embeddings")
        hidden = fresh(tape, (batch, self.tokens(sides), self.width), fmt, "patches")
        temb = fresh(tape, (batch, self.width), fmt, "conditioning")
        encoder = made(prompt, self.width, "mm")
        tape.begin("denoise", f"blocks 1–{self.layers - 1}")
        hidden, encoder = self._block(hidden, encoder, scratch, self.dual > 0)
        tape.begin("denoise", f"block {self.layers}")
        hidden, encoder = self._block(hidden, encoder, scratch, self.dual == self.layers, last=True)
        tape.begin("denoise", "output")
        hidden = modulated(hidden)
        hidden = made(hidden, PATCH**2 * self.in_channels, "mm")
        found = segments(tape)
        del latents, prompt, hidden, encoder, temb
        return found

    def _block(self, x: Tensor, text: Tensor, scratch: int, dual: bool, last: bool = False) -> tuple[Tensor, Tensor]:
        """[diffusers 0.42 models/attention.py: JointTransformerBlock.forward]; its locals live until they are assigned
        anew. The ``last`` block's text goes nowhere."""
        d = self.width
        second = None
        if dual:
            grouped = made(x, d, "layer_norm")
            norm, second = shifted(grouped), shifted(grouped)
            del grouped
        else:
            norm = modulated(x)
        norm_text = modulated(text)
        out, out_text = self._joint(norm, norm_text, scratch, last)
        out = made(out, d, "mul")
        hidden = made(x, d, "add")
        other = None
        if second is not None:
            other = self._attention(second, scratch)
            other = made(other, d, "mul")
            hidden = made(hidden, d, "add")
        norm = made(hidden, d, "layer_norm")
        norm = shifted(norm)
        fed = _feed_forward(norm, scratch)
        fed = made(fed, d, "mul")
        hidden = made(hidden, d, "add")
        if last:
            return hidden, text
        out_text = made(out_text, d, "mul")
        text = made(text, d, "add")
        norm_text = made(text, d, "layer_norm")
        norm_text = shifted(norm_text)
        fed_text = _feed_forward(norm_text, scratch)
        gated = made(fed_text, d, "mul")
        text = made(gated, d, "add")
        del gated, fed_text, norm_text, out_text, fed, norm, other, second, out
        return hidden, text

    def _joint(self, x: Tensor, text: Tensor, scratch: int, last: bool) -> tuple[Tensor, Tensor]:
        """[JointAttnProcessor2_0]: queries, keys and values of both, joined. The ``last`` block's text is not
        projected: it stays a view of what attention made of both."""
        d = self.width
        own = [product(x, d, scratch) for _ in range(3)]
        if self.normed:
            for i in range(2):
                own[i] = made(own[i], d, "rms_norm")
        theirs = [product(text, d, scratch) for _ in range(3)]
        if self.normed:
            for i in range(2):
                theirs[i] = made(theirs[i], d, "rms_norm")
        length = x.shape[1] + text.shape[1]
        for i in range(3):
            own[i] = fresh(x.tape, (x.shape[0], length, d), x.format, "cat")
        both = made(own[0], d, "attention")
        out_text = both if last else product(text, d, scratch)
        out = product(x, d, scratch)
        del own, theirs, both
        return out, out_text

    def _attention(self, x: Tensor, scratch: int) -> Tensor:
        d = self.width
        own = [product(x, d, scratch) for _ in range(3)]
        if self.normed:
            for i in range(2):
                own[i] = made(own[i], d, "rms_norm")
        attended = made(own[0], d, "attention")
        out = product(attended, d, scratch)
        del own, attended
        return out


def _feed_forward(x: Tensor, scratch: int) -> Tensor:
    d = x.shape[-1]
    wide = product(x, 4 * d, scratch)
    wide = made(wide, 4 * d, "gelu")
    return product(wide, d, scratch)
