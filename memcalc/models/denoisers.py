"""Denoisers by their own configuration in diffusers: the U-Net of Stable Diffusion 1.x, and DiT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.denoiser import LATENT
from memcalc.architectures.dit import DiTSpec
from memcalc.architectures.unet import UNetModelSpec
from memcalc.errors import ModelError
from memcalc.models.description import ModelDescription
from memcalc.models.reader import shown

FIELD = "model.diffusers"
LEVELS = 4
"""The most levels that a published U-Net has."""
_BLOCKS = {"CrossAttnDownBlock2D": True, "DownBlock2D": False, "CrossAttnUpBlock2D": True, "UpBlock2D": False}
"""Whether a level attends, by the name of its block."""
_UNET = {
    "center_input_sample": False, "flip_sin_to_cos": True, "freq_shift": 0,
    "mid_block_type": "UNetMidBlock2DCrossAttn", "only_cross_attention": False, "downsample_padding": 1,
    "mid_block_scale_factor": 1, "dropout": 0.0, "act_fn": "silu", "norm_num_groups": 32,
    "transformer_layers_per_block": 1, "reverse_transformer_layers_per_block": None, "encoder_hid_dim": None,
    "encoder_hid_dim_type": None, "dual_cross_attention": False, "use_linear_projection": False,
    "class_embed_type": None, "addition_embed_type": None, "num_class_embeds": None, "upcast_attention": False,
    "resnet_time_scale_shift": "default", "resnet_skip_time_act": False, "resnet_out_scale_factor": 1.0,
    "time_embedding_type": "positional", "time_embedding_dim": None, "time_embedding_act_fn": None,
    "timestep_post_act": None, "time_cond_proj_dim": None, "conv_in_kernel": 3, "conv_out_kernel": 3,
    "projection_class_embeddings_input_dim": None, "attention_type": "default", "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None, "cross_attention_norm": None, "num_attention_heads": None,
}  # fmt: skip
"""Options that must be as Stable Diffusion 1.x has them [diffusers 0.42 models/unets/unet_2d_condition.py: the class's
defaults]."""

_DIT = {
    "dropout": 0.0, "attention_bias": True, "activation_fn": "gelu-approximate", "upcast_attention": False,
    "norm_type": "ada_norm_zero", "norm_elementwise_affine": False,
}  # fmt: skip
"""Options that must be as DiT has them [diffusers 0.42 models/transformers/dit_transformer_2d.py]."""


def is_denoiser(model: Any) -> bool:
    """Whether a scenario's model is a denoiser by itself, not a pipeline."""
    config = model.get("diffusers") if isinstance(model, Mapping) and list(model) == ["diffusers"] else None
    return isinstance(config, Mapping) and config.get("_class_name") in READERS


def describe(config: Mapping[str, Any]) -> ModelDescription:
    """The denoiser that ``config`` (a parsed config.json of diffusers) stands for."""
    kind = str(config["_class_name"])
    return ModelDescription(kind, READERS[kind](config), source=f"a configuration of diffusers' {kind}")


def _plain(config: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Options that must be as ``known``."""
    for name, usual in known.items():
        value = config.get(name, usual)
        if value != usual:
            raise ModelError(f"{name} {shown(value)} has no program yet", f"{FIELD}.{name}", [usual])


def _unet(config: Mapping[str, Any]) -> UNetModelSpec:
    _plain(config, _UNET)
    widths = _sizes(config, "block_out_channels", (320, 640, 1280, 1280))
    if any(width % 32 for width in widths):
        raise ModelError("block_out_channels must be multiples of 32", f"{FIELD}.block_out_channels")
    heads = config.get("attention_head_dim", 8)  # diffusers' own name for the number of heads
    each = _sizes({"attention_head_dim": heads if isinstance(heads, list) else [heads] * len(widths)},
                  "attention_head_dim", ())  # fmt: skip
    if len(each) != len(widths) or any(width % one for width, one in zip(widths, each, strict=True)):
        raise ModelError("attention_head_dim must divide each level's channels", f"{FIELD}.attention_head_dim")
    down = _attends(config, "down_block_types", "Down", len(widths))
    up = _attends(config, "up_block_types", "Up", len(widths))
    if tuple(reversed(up)) != down:
        raise ModelError("levels that attend on one way only have no program", f"{FIELD}.up_block_types")
    return UNetModelSpec(
        "unet", 0, widths[0], len(widths), each[0], each[0], widths[0] // each[0], 4 * widths[0], 1, "silu", False,
        side=LATENT * _size(config, "sample_size", 64), channels=_size(config, "in_channels", 4), library="diffusers",
        outputs=_size(config, "out_channels", 4), text=77, text_width=_size(config, "cross_attention_dim", 1280),
        widths=widths, attends=down, level_heads=each, depth=_size(config, "layers_per_block", 2),
    )  # fmt: skip


def _size(config: Mapping[str, Any], name: str, usual: int) -> int:
    value = config.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 100_000:
        raise ModelError(f"{name} must be a whole number from 1 to 100,000, not {shown(value)}", f"{FIELD}.{name}")
    return value


def _sizes(config: Mapping[str, Any], name: str, usual: tuple[int, ...]) -> tuple[int, ...]:
    value = config.get(name, usual)
    if not isinstance(value, list | tuple) or not 0 < len(value) <= LEVELS:
        raise ModelError(f"{name} must be a list of 1 to {LEVELS} numbers", f"{FIELD}.{name}")
    return tuple(_size({name: one}, name, 0) for one in value)


def _attends(config: Mapping[str, Any], name: str, way: str, levels: int) -> tuple[bool, ...]:
    usual = [f"CrossAttn{way}Block2D"] * 3 + [f"{way}Block2D"]
    value = config.get(name, usual if way == "Down" else usual[::-1])
    known = [one for one in _BLOCKS if way in one]
    if not isinstance(value, list | tuple) or len(value) != levels or any(one not in known for one in value):
        raise ModelError(f"{name} must name a block for each level", f"{FIELD}.{name}", known)
    return tuple(_BLOCKS[one] for one in value)


def _dit(config: Mapping[str, Any]) -> DiTSpec:
    _plain(config, _DIT)
    heads, d = _size(config, "num_attention_heads", 16), _size(config, "attention_head_dim", 72)
    channels, patch = _size(config, "in_channels", 4), _size(config, "patch_size", 2)
    side = _size(config, "sample_size", 32)
    if side % patch:
        raise ModelError(f"sample_size must be a multiple of patch_size {patch}", f"{FIELD}.sample_size")
    return DiTSpec(
        "dit", 0, heads * d, _size(config, "num_layers", 28), heads, heads, d, 4 * heads * d, 1, "gelu", False,
        side=LATENT * side, channels=channels, library="diffusers",
        outputs=channels if config.get("out_channels") is None else _size(config, "out_channels", channels),
        patch=patch, classes=_size(config, "num_embeds_ada_norm", 1000),
    )  # fmt: skip


READERS = {"UNet2DConditionModel": _unet, "DiTTransformer2DModel": _dit}
"""How a configuration is read, by its class."""
