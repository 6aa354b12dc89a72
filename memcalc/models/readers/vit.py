"""Reads ViT configurations (transformers 5.23 models/vit/configuration_vit.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.vit import ViTSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, labels


def _read(config: Mapping[str, Any]) -> tuple[ViTSpec, list[str]]:
    read = Reader(config)
    hidden, heads = read.size("hidden_size", 768), read.size("num_attention_heads", 12)
    if hidden % heads and config.get("head_dim") is None:
        raise ModelError(
            f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}", f"{FIELD}.hidden_size"
        )
    for name in ("image_size", "patch_size"):
        if isinstance(config.get(name), list):
            raise ModelError("only square pictures and patches have a program", f"{FIELD}.{name}")
    side, patch = read.size("image_size", 224), read.size("patch_size", 16)
    if patch > side:
        raise ModelError(f"patch_size {patch} is larger than image_size {side}", f"{FIELD}.patch_size")
    spec = ViTSpec(
        family="vit",
        vocab=0,
        hidden=hidden,
        layers=read.size("num_hidden_layers", 12),
        heads=heads,
        kv_heads=heads,
        head_dim=read.size("head_dim", required=False) or hidden // heads,
        ffn=read.size("intermediate_size", 3072),
        max_positions=1,
        activation=read.activation("hidden_act", "gelu"),
        tied=False,
        qkv_bias=read.flag("qkv_bias", True),
        residual_dropout=read.probability("hidden_dropout_prob", 0.0),
        attention_dropout=read.probability("attention_probs_dropout_prob", 0.0),
        side=side,
        labels=labels(config),
        channels=read.size("num_channels", 3),
        library="transformers",
        patch=patch,
    )
    return spec, read.assumptions


FAMILIES = {"vit": Family(_read, "ViTForImageClassification")}
