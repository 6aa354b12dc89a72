"""Reads Ministral (2024) and Ministral 3 configurations (transformers 5.23
models/{ministral,ministral3}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import sizes, typed_windows

_MINISTRAL = {"vocab": 32000, "ffn": 14336, "positions": 131072, "kv_heads": 8}
_MINISTRAL3 = {
    "vocab": 131072, "ffn": 14336, "positions": 262144, "kv_heads": 8, "layers": 34, "head_dim": 128,
}  # fmt: skip


def read_ministral(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _MINISTRAL)
    if "sliding_window" in config and config["sliding_window"] is None:
        windows: tuple[int | None, ...] = ()
    elif config.get("layer_types") is not None:
        windows = typed_windows(read, common["layers"], read.size("sliding_window", 4096))
    else:
        windows = (read.size("sliding_window", 4096),) * common["layers"]
    return DecoderSpec(family="ministral", **common, windows=windows), read.assumptions


def read_ministral3(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _MINISTRAL3)
    window = read.size("sliding_window", required=False)
    windows = (window,) * common["layers"] if window else ()
    return DecoderSpec(family="ministral3", **common, windows=windows), read.assumptions


FAMILIES = {
    "ministral": Family(read_ministral, "MinistralForCausalLM"),
    "ministral3": Family(read_ministral3, "Ministral3ForCausalLM"),
}
