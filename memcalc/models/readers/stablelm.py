"""Reads StableLM configurations (transformers 5.23 models/stablelm/configuration_stablelm.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.stablelm import StableLmSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import rotary_width, sizes

DEFAULTS = {"hidden": 2560, "kv_heads": 32, "vocab": 50304, "ffn": 6912, "positions": 4096}


def read(config: Mapping[str, Any]) -> tuple[StableLmSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, DEFAULTS)
    spec = StableLmSpec(
        family="stablelm",
        **common,
        qkv_bias=read.flag("use_qkv_bias", False),
        qk_norm=read.flag("qk_layernorm", False),
        residual_dropout=read.probability("hidden_dropout", 0.0),
        rotary_dim=rotary_width(read, common["head_dim"], 0.25),
        parallel_residual=read.flag("use_parallel_residual", False),
    )
    return spec, read.assumptions


FAMILIES = {"stablelm": Family(read, "StableLmForCausalLM")}
