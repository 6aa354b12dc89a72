"""Reads StarCoder2 configurations (transformers 5.23 models/starcoder2/configuration_starcoder2.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import sizes

DEFAULTS = {
    "hidden": 3072,
    "layers": 30,
    "heads": 24,
    "kv_heads": 2,
    "vocab": 49152,
    "ffn": 12288,
    "positions": 4096,
    "act": "gelu_pytorch_tanh",
    "tied": True,
}


def read(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, DEFAULTS)
    bias = read.flag("use_bias", True)
    window = read.size("sliding_window", required=False)
    spec = DecoderSpec(
        family="starcoder2",
        **common,
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        embedding_dropout=read.probability("embedding_dropout", 0.0),
        residual_dropout=read.probability("residual_dropout", 0.0),
        windows=(window,) * common["layers"] if window else (),
    )
    return spec, read.assumptions


FAMILIES = {"starcoder2": Family(read, "Starcoder2ForCausalLM")}
