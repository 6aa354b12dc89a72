"""Reads ViT, DeiT and DINOv2 configurations (transformers 5.23 models/{vit,deit,dinov2}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.vit import ViTSpec
from memcalc.architectures.vit_kin import Dinov2Spec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, labels


def _vit(config: Mapping[str, Any]) -> tuple[ViTSpec, list[str]]:
    found, read = _sizes("vit", config, 16)
    return ViTSpec(**found, ffn=read.size("intermediate_size", 3072)), read.assumptions


def _deit(config: Mapping[str, Any]) -> tuple[ViTSpec, list[str]]:
    found, read = _sizes("deit", config, 16)
    return ViTSpec(**found, ffn=read.size("intermediate_size", 3072), learned=2), read.assumptions


def _dinov2(config: Mapping[str, Any]) -> tuple[ViTSpec, list[str]]:
    found, read = _sizes("dinov2", config, 14)
    if read.probability("drop_path_rate", 0.0):
        raise ModelError("drop_path_rate has no program yet", f"{FIELD}.drop_path_rate", [0.0])
    gated, wide = read.flag("use_swiglu_ffn", False), found["hidden"] * read.size("mlp_ratio", 4)
    if gated:  # two thirds of it, rounded up to a multiple of 8
        wide = (wide * 2 // 3 + 7) // 8 * 8
    if found["residual_dropout"]:
        raise ModelError("hidden_dropout_prob has no program for DINOv2", f"{FIELD}.hidden_dropout_prob", [0.0])
    return Dinov2Spec(**found, ffn=wide, gated=gated, masked=read.flag("use_mask_token", True)), read.assumptions


def _sizes(family: str, config: Mapping[str, Any], usual_patch: int) -> tuple[dict[str, Any], Reader]:
    """What all of them have."""
    read = Reader(config)
    hidden, heads = read.size("hidden_size", 768), read.size("num_attention_heads", 12)
    if hidden % heads and config.get("head_dim") is None:
        raise ModelError(
            f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}", f"{FIELD}.hidden_size"
        )
    for name in ("image_size", "patch_size"):
        if isinstance(config.get(name), list):
            raise ModelError("only square pictures and patches have a program", f"{FIELD}.{name}")
    side, patch = read.size("image_size", 224), read.size("patch_size", usual_patch)
    if patch > side:
        raise ModelError(f"patch_size {patch} is larger than image_size {side}", f"{FIELD}.patch_size")
    found = {
        "family": family, "vocab": 0, "hidden": hidden, "layers": read.size("num_hidden_layers", 12), "heads": heads,
        "kv_heads": heads, "head_dim": read.size("head_dim", required=False) or hidden // heads, "max_positions": 1,
        "activation": read.activation("hidden_act", "gelu"), "tied": False, "qkv_bias": read.flag("qkv_bias", True),
        "residual_dropout": read.probability("hidden_dropout_prob", 0.0),
        "attention_dropout": read.probability("attention_probs_dropout_prob", 0.0), "side": side,
        "labels": labels(config), "channels": read.size("num_channels", 3), "library": "transformers", "patch": patch,
    }  # fmt: skip
    return found, read


FAMILIES = {
    "vit": Family(_vit, "ViTForImageClassification"),
    "deit": Family(_deit, "DeiTForImageClassification"),
    "dinov2": Family(_dinov2, "Dinov2ForImageClassification"),
}
