"""The weights of FLUX.1's four parts, tensor by tensor.

Counts agree with the classes of diffusers 0.42 and transformers 5.23 on the meta device: transformer 11,901,408,320
(dev) and 11,891,178,560 (schnell), T5-XXL's encoder 4,762,310,656, CLIP-L's text model 123,060,480, VAE 83,819,683.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.layers import Maker
from memcalc.diffusion.spec import FluxSpec
from memcalc.formats import Format
from memcalc.tensors.tensor import Parameter

VAE_CHANNELS = (128, 256, 512, 512)
LATENT_CHANNELS = 16
T5_WIDTH, T5_INNER, T5_LAYERS, T5_HEADS, T5_VOCAB = 4096, 10_240, 24, 64, 32_128
CLIP_WIDTH, CLIP_INNER, CLIP_LAYERS, CLIP_VOCAB, CLIP_TOKENS = 768, 3072, 12, 49_408, 77


@dataclass(frozen=True, slots=True)
class Part:
    """One model of the pipeline. ``phase``: when it runs."""

    name: str
    phase: str
    parameters: list[Parameter]

    @property
    def count(self) -> int:
        """Its parameters."""
        return sum(one.count * one.repeat for one in self.parameters)

    @property
    def bytes(self) -> int:
        """Bytes on the device, every tensor in blocks of its own."""
        return sum(one.bytes() * one.repeat for one in self.parameters)

    @property
    def largest(self) -> int:
        """Bytes of its largest tensor: what sequential offload holds, one module at a time."""
        return max(one.bytes() for one in self.parameters)


def transformer(spec: FluxSpec, make: Maker) -> Part:
    """FluxTransformer2DModel: double blocks for text and image side by side, then single blocks over both."""
    d, n, s = spec.width, spec.layers, spec.single_layers
    make.linear("x_embedder", "proj", spec.in_channels, d, True)
    make.linear("context_embedder", "proj", spec.text_width, d, True)
    for name, width in (
        ("timestep", 256),
        *((("guidance", 256),) if spec.guidance else ()),
        ("text", spec.pooled_width),
    ):
        make.linear(f"{name}_embedder", "linear_1", width, d, True)
        make.linear(f"{name}_embedder", "linear_2", d, d, True)
    for side in ("", "_context"):
        make.linear(f"double.norm1{side}", "linear", d, 6 * d, True, n)
        for name in ("q", "k", "v", "out"):
            make.linear(f"double.attn{side}", f"to_{name}", d, d, True, n)
        for name in ("norm_q", "norm_k"):
            make.parameter(f"double.attn{side}.{name}", spec.head_dim, repeat=n)
        make.linear(f"double.ff{side}", "net.0", d, 4 * d, True, n)
        make.linear(f"double.ff{side}", "net.2", 4 * d, d, True, n)
    make.linear("single.norm", "linear", d, 3 * d, True, s)
    make.linear("single", "proj_mlp", d, 4 * d, True, s)
    make.linear("single", "proj_out", 5 * d, d, True, s)
    for name in ("q", "k", "v"):
        make.linear("single.attn", f"to_{name}", d, d, True, s)
    for name in ("norm_q", "norm_k"):
        make.parameter(f"single.attn.{name}", spec.head_dim, repeat=s)
    make.linear("norm_out", "linear", d, 2 * d, True)
    make.linear("proj_out", "proj", d, spec.in_channels, True)
    return Part("denoiser", "denoise", make.parameters)


def t5(make: Maker) -> Part:
    """T5-XXL's encoder. transformers' quantisers leave ``wo`` alone, since the model wants it in fp32, in which it is
    under bitsandbytes [transformers 5.23 models/t5/modeling_t5.py: _keep_in_fp32_modules;
    quantizers/base.py: get_modules_to_not_convert]."""
    d, n = T5_WIDTH, T5_LAYERS
    make.parameter("shared.weight", T5_VOCAB, d)
    make.parameter("relative_attention_bias.weight", 32, T5_HEADS)
    for name in ("q", "k", "v", "o"):
        make.linear("block.attention", name, d, d, False, n)
    for name in ("wi_0", "wi_1"):
        make.linear("block.ff", name, d, T5_INNER, False, n)
    wide = make.base is not None and make.base.scheme.product.startswith("bnb")
    make.parameters.append(Parameter("block.ff.wo.weight", (d, T5_INNER), Format.FP32 if wide else make.format, n))
    for name in ("attention", "ff"):
        make.parameter(f"block.{name}.layer_norm", d, repeat=n)
    make.parameter("final_layer_norm", d)
    return Part("text encoder T5-XXL", "encode", make.parameters)


def clip(make: Maker) -> Part:
    """CLIP-L's text model."""
    d, n = CLIP_WIDTH, CLIP_LAYERS
    make.parameter("token_embedding", CLIP_VOCAB, d)
    make.parameter("position_embedding", CLIP_TOKENS, d)
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        make.linear("layer.attn", name, d, d, True, n)
    make.linear("layer.mlp", "fc1", d, CLIP_INNER, True, n)
    make.linear("layer.mlp", "fc2", CLIP_INNER, d, True, n)
    for name in ("layer_norm1.weight", "layer_norm1.bias", "layer_norm2.weight", "layer_norm2.bias"):
        make.parameter(f"layer.{name}", d, repeat=n)
    for name in ("weight", "bias"):
        make.parameter(f"final_layer_norm.{name}", d)
    return Part("text encoder CLIP-L", "encode", make.parameters)


def vae(make: Maker) -> Part:
    """AutoencoderKL with 16 latent channels: encoder and decoder both lie on the card."""
    first, *_, last = VAE_CHANNELS
    _conv(make, "encoder.conv_in", 3, first)
    before = first
    for i, width in enumerate(VAE_CHANNELS):
        for j in range(2):
            _resnet(make, f"encoder.down.{i}.{j}", before, width)
            before = width
        if i < len(VAE_CHANNELS) - 1:
            _conv(make, f"encoder.down.{i}.downsample", width, width)
    _middle(make, "encoder.mid", last)
    _norm(make, "encoder.norm_out", last)
    _conv(make, "encoder.conv_out", last, 2 * LATENT_CHANNELS)
    _conv(make, "decoder.conv_in", LATENT_CHANNELS, last)
    _middle(make, "decoder.mid", last)
    before = last
    for i, width in enumerate(reversed(VAE_CHANNELS)):
        for j in range(3):
            _resnet(make, f"decoder.up.{i}.{j}", before, width)
            before = width
        if i < len(VAE_CHANNELS) - 1:
            _conv(make, f"decoder.up.{i}.upsample", width, width)
    _norm(make, "decoder.norm_out", first)
    _conv(make, "decoder.conv_out", first, 3)
    return Part("VAE", "decode", make.parameters)


def _conv(make: Maker, name: str, inputs: int, outputs: int, side: int = 3) -> None:
    make.parameter(f"{name}.weight", outputs, inputs, side, side)
    make.parameter(f"{name}.bias", outputs)


def _norm(make: Maker, name: str, width: int) -> None:
    make.parameter(f"{name}.weight", width)
    make.parameter(f"{name}.bias", width)


def _resnet(make: Maker, name: str, inputs: int, outputs: int) -> None:
    _norm(make, f"{name}.norm1", inputs)
    _conv(make, f"{name}.conv1", inputs, outputs)
    _norm(make, f"{name}.norm2", outputs)
    _conv(make, f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        _conv(make, f"{name}.conv_shortcut", inputs, outputs, 1)


def _middle(make: Maker, name: str, width: int) -> None:
    _resnet(make, f"{name}.0", width, width)
    _norm(make, f"{name}.attn.group_norm", width)
    for one in ("to_q", "to_k", "to_v", "to_out"):
        make.parameter(f"{name}.attn.{one}.weight", width, width)
        make.parameter(f"{name}.attn.{one}.bias", width)
    _resnet(make, f"{name}.1", width, width)
