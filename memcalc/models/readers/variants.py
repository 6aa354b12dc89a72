"""Reads configurations of small variations of Llama: Seed-OSS, ERNIE 4.5, Hunyuan, EXAONE 4 (transformers 5.23
models/{seed_oss,ernie4_5,hunyuan_v1_dense,exaone4}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import layer_windows, sizes

_SEED = {
    "layers": 64, "heads": 80, "kv_heads": 8, "head_dim": 128, "vocab": 155136, "ffn": 27648, "positions": 524288,
}  # fmt: skip
_ERNIE = {
    "hidden": 1024, "layers": 18, "heads": 16, "kv_heads": 2, "head_dim": 128, "vocab": 103424, "ffn": 3072,
    "positions": 131072, "tied": True,
}  # fmt: skip
_HUNYUAN = {"vocab": 290943, "ffn": 11008, "positions": 2048}
_EXAONE = {"vocab": 102400, "ffn": 16384, "positions": 2048}


def read_seed(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _SEED)
    spec = DecoderSpec(
        family="seed_oss",
        **common | {"attention_dropout": read.probability("attention_dropout", 0.1)},
        qkv_bias=read.flag("attention_bias", True),
        output_bias=read.flag("attention_out_bias", False),
        mlp_bias=read.flag("mlp_bias", False),
        residual_dropout=read.probability("residual_dropout", 0.1),
    )
    return spec, read.assumptions


def read_ernie(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("use_bias", False)
    # Its attention has no dropout, whatever the configuration says.
    common = sizes(read, _ERNIE) | {"attention_dropout": 0.0}
    spec = DecoderSpec(family="ernie4_5", **common, qkv_bias=biased, output_bias=biased, mlp_bias=biased)
    return spec, read.assumptions


def read_hunyuan(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("attention_bias", False)
    spec = DecoderSpec(
        family="hunyuan_v1_dense", **sizes(read, _HUNYUAN), qkv_bias=biased, output_bias=biased, qk_norm=True
    )
    return spec, read.assumptions


def read_exaone4(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _EXAONE)
    slides = config.get("sliding_window", 4096) is not None
    pattern = config.get("sliding_window_pattern", 4)
    period = read.size("sliding_window_pattern", 4) if isinstance(pattern, int) else 4  # letters come with layer_types
    spec = DecoderSpec(
        family="exaone4",
        **common,
        qk_norm=True,
        windows=layer_windows(read, common["layers"], period, 4096) if slides else (),
    )
    return spec, read.assumptions


FAMILIES = {
    "seed_oss": Family(read_seed, "SeedOssForCausalLM"),
    "ernie4_5": Family(read_ernie, "Ernie4_5ForCausalLM"),
    "hunyuan_v1_dense": Family(read_hunyuan, "HunYuanDenseV1ForCausalLM"),
    "exaone4": Family(read_exaone4, "Exaone4ForCausalLM"),
}
