"""Text encoders: CLIP's text models and the encoder of T5.

Counts agree with transformers 5.23 on the meta device: CLIP-L 123,060,480 (with projection 123,650,304), OpenCLIP bigG
with projection 694,659,840, T5-XXL's encoder 4,762,310,656.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.layers import Maker
from memcalc.diffusion.maps import made
from memcalc.diffusion.parts import Part, norm
from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.timeline import Segment, segments

CLIP_TOKENS = 77
"""Tokens that CLIP reads, always."""
_T5_BUCKETS = 32
"""Distances that T5's position bias tells apart [relative_attention_num_buckets]."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """One text encoder. ``component``: what the pipeline calls it. ``projection``: width of CLIP's pooled vector where
    the model projects it. ``t5``: T5's encoder, else CLIP."""

    name: str
    component: str
    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    projection: int = 0
    t5: bool = False

    @property
    def embedding(self) -> int:
        """Parameters of its embeddings."""
        return (self.vocabulary + (0 if self.t5 else CLIP_TOKENS)) * self.width

    def part(self, make: Maker) -> Part:
        """Its weights."""
        return Part(f"text encoder {self.name}", "encode", (self._t5 if self.t5 else self._clip)(make))

    def _clip(self, make: Maker) -> list[Parameter]:
        d, n = self.width, self.layers
        make.parameter("token_embedding", self.vocabulary, d)
        make.parameter("position_embedding", CLIP_TOKENS, d)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            make.linear("layer.attn", name, d, d, True, n)
        make.linear("layer.mlp", "fc1", d, self.inner, True, n)
        make.linear("layer.mlp", "fc2", self.inner, d, True, n)
        for name in ("layer_norm1", "layer_norm2"):
            norm(make, f"layer.{name}", d, n)
        norm(make, "final_layer_norm", d)
        if self.projection:
            make.linear("text", "projection", d, self.projection, False)
        return make.parameters

    def _t5(self, make: Maker) -> list[Parameter]:
        """``wo`` is in fp32 where the model is loaded in fp16 or by bitsandbytes, and no quantiser takes it
        [transformers 5.23 models/t5/modeling_t5.py: _keep_in_fp32_modules; modeling_utils.py: for fp16 only;
        quantizers/base.py: get_modules_to_not_convert]. Published: 16.40 GiB of all of SD3 in fp16 (huggingface/blog
        quanto-diffusers.md), which is 1.88 GiB more than two bytes a parameter."""
        d, n = self.width, self.layers
        make.parameter("shared.weight", self.vocabulary, d)
        make.parameter("relative_attention_bias.weight", _T5_BUCKETS, self.heads)
        for name in ("q", "k", "v", "o"):
            make.linear("block.attention", name, d, d, False, n)
        for name in ("wi_0", "wi_1"):
            make.linear("block.ff", name, d, self.inner, False, n)
        wide = make.format is Format.FP16 or (make.base is not None and make.base.scheme.product.startswith("bnb"))
        wo = Parameter("block.ff.wo.weight", (d, self.inner), Format.FP32 if wide else make.format, n)
        make.parameters.append(wo)
        for name in ("attention", "ff"):
            make.parameter(f"block.{name}.layer_norm", d, repeat=n)
        make.parameter("final_layer_norm", d)
        return make.parameters

    def run(self, tape: Tape, batch: int, tokens: int, fmt: Format) -> None:
        """Its widest moment over a batch of prompts: a block's feed-forward. T5: with the position bias for every head
        and a gated feed-forward [T5DenseGatedActDense]; CLIP: with every layer's hidden states, which the pipelines ask
        for [output_hidden_states]."""
        tokens = tokens if self.t5 else CLIP_TOKENS
        embeds = fresh(tape, (batch, tokens, self.width), fmt, "embedding")
        if self.t5:
            held = [fresh(tape, (1, self.heads, tokens, tokens), fmt, "position bias")]
        else:
            held = [made(embeds, self.width, "hidden states") for _ in range(self.layers)]
        hidden = made(embeds, self.width, "add")
        normed = made(embeds, self.width, "norm")
        inner = [made(embeds, self.inner, op) for op in (("gelu", "mm", "mul") if self.t5 else ("mm", "gelu"))]
        del inner[:-1], normed
        out = made(embeds, self.width, "mm")
        del inner, held, hidden, out


CLIP_L = Encoder("CLIP-L", "text_encoder", 768, 3072, 12, 12, 49_408)
CLIP_L_PROJECTED = Encoder("CLIP-L", "text_encoder", 768, 3072, 12, 12, 49_408, 768)
CLIP_G = Encoder("OpenCLIP bigG", "text_encoder_2", 1280, 5120, 32, 20, 49_408, 1280)


def t5(component: str) -> Encoder:
    """The encoder of T5-XXL (v1.1), by what the pipeline calls it."""
    return Encoder("T5-XXL", component, 4096, 10_240, 24, 64, 32_128, t5=True)


def encode(encoders: Sequence[Encoder], batch: int, tokens: int, fmt: Format) -> list[Segment]:
    """The text encoders one after another over ``batch`` prompts; what they hand over stays."""
    tape = Tape(batch == 1)
    tape.grad_enabled = False
    kept = []
    for one in encoders:
        tape.begin("encode", f"text encoder {one.name}")
        one.run(tape, batch, tokens, fmt)
        length = tokens if one.t5 else CLIP_TOKENS
        kept.append(fresh(tape, (batch, length, one.width), fmt, "prompt embeddings"))
        if not one.t5:
            kept.append(fresh(tape, (batch, one.projection or one.width), fmt, "pooled text"))
    parts = segments(tape)
    del kept
    return parts
