"""Reads GLM-4 configurations, of 2024 and 0414 (transformers 5.23 models/{glm,glm4}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from memcalc.architectures.rotary import PartialSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import rotary_width, sizes

DEFAULTS = {"layers": 40, "kv_heads": 2, "head_dim": 128, "vocab": 151552, "ffn": 13696, "positions": 131072}


def read(config: Mapping[str, Any], family: str = "glm4") -> tuple[PartialSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, DEFAULTS)
    spec = PartialSpec(
        family=family,
        **common,
        qkv_bias=read.flag("attention_bias", True),
        rotary_dim=rotary_width(read, common["head_dim"], 0.5),
    )
    return spec, read.assumptions


FAMILIES = {
    "glm": Family(partial(read, family="glm"), "GlmForCausalLM"),
    "glm4": Family(read, "Glm4ForCausalLM"),
}
