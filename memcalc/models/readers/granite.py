"""Reads Granite configurations (transformers 5.23 models/granite/configuration_granite.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import sizes

DEFAULTS = {"vocab": 32000, "ffn": 11008, "positions": 2048}


def read(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("attention_bias", False)
    spec = DecoderSpec(
        family="granite",
        **sizes(read, DEFAULTS),
        qkv_bias=biased,
        output_bias=biased,
        mlp_bias=read.flag("mlp_bias", False),
    )
    return spec, read.assumptions


FAMILIES = {"granite": Family(read, "GraniteForCausalLM")}
