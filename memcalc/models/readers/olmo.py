"""Reads OLMo 1 to 3 configurations (transformers 5.23 models/{olmo,olmo2,olmo3}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.olmo import OlmoSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, finite, shown
from memcalc.models.readers.decoders import layer_windows, sizes

DEFAULTS = {"vocab": 50304, "ffn": 11008, "positions": 2048}


def read_olmo(config: Mapping[str, Any]) -> tuple[OlmoSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("attention_bias", False)
    limit = config.get("clip_qkv")
    if limit is not None and not finite(limit):
        raise ModelError(f"clip_qkv must be a number, not {shown(limit)}", f"{FIELD}.clip_qkv")
    spec = OlmoSpec(
        family="olmo", **sizes(read, DEFAULTS), qkv_bias=biased, output_bias=biased, clipped=limit is not None
    )
    return spec, read.assumptions


def read_olmo2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("attention_bias", False)
    spec = DecoderSpec(family="olmo2", **sizes(read, DEFAULTS), qkv_bias=biased, output_bias=biased, qk_norm=True)
    return spec, read.assumptions


def read_olmo3(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("attention_bias", False)
    common = sizes(read, DEFAULTS)
    windows = layer_windows(read, common["layers"], 4, 4096)
    spec = DecoderSpec(family="olmo3", **common, qkv_bias=biased, output_bias=biased, qk_norm=True, windows=windows)
    return spec, read.assumptions


FAMILIES = {
    "olmo": Family(read_olmo, "OlmoForCausalLM"),
    "olmo2": Family(read_olmo2, "Olmo2ForCausalLM"),
    "olmo3": Family(read_olmo3, "Olmo3ForCausalLM"),
}
