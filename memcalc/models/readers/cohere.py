"""Reads Cohere Command R configurations (transformers 5.23 models/{cohere,cohere2}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import layer_windows, sizes

DEFAULTS = {
    "hidden": 8192,
    "heads": 64,
    "layers": 40,
    "vocab": 256000,
    "ffn": 22528,
    "positions": 8192,
    "tied": True,
}


def read(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("attention_bias", False)
    spec = DecoderSpec(
        family="cohere",
        **sizes(read, DEFAULTS),
        qkv_bias=biased,
        output_bias=biased,
        qk_norm=read.flag("use_qk_norm", False),
    )
    return spec, read.assumptions


def read_cohere2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    biased = read.flag("attention_bias", False)
    common = sizes(read, DEFAULTS)
    # The model's own width of a head, whatever head_dim says [Cohere2Config.__post_init__].
    common["head_dim"] = common["hidden"] // common["heads"]
    period = read.size("sliding_window_pattern", 4, required=False)
    spec = DecoderSpec(
        family="cohere2",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        windows=layer_windows(read, common["layers"], period, 4096),
    )
    return spec, read.assumptions


FAMILIES = {"cohere": Family(read, "CohereForCausalLM"), "cohere2": Family(read_cohere2, "Cohere2ForCausalLM")}
