"""Reads SmolLM3 configurations (transformers 5.23 models/smollm3/configuration_smollm3.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.smollm3 import SmolLM3Spec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.decoders import sizes, typed_windows

DEFAULTS = {
    "hidden": 2048,
    "heads": 16,
    "layers": 36,
    "kv_heads": 4,
    "vocab": 128256,
    "ffn": 11008,
    "positions": 32768,
    "tied": True,
}


def read(config: Mapping[str, Any]) -> tuple[SmolLM3Spec, list[str]]:
    read = Reader(config)
    common = sizes(read, DEFAULTS)
    biased = read.flag("attention_bias", False)
    rotary = rotary_layers(read, common["layers"])
    spec = SmolLM3Spec(
        family="smollm3",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        mlp_bias=read.flag("mlp_bias", False),
        rotary_layers=rotary,
        windows=_windows(read, rotary),
    )
    return spec, read.assumptions


def rotary_layers(read: Reader, layers: int) -> tuple[bool, ...]:
    """Which layers rotate: ``no_rope_layers`` holds 1 for those that do, else every fourth does not."""
    listed = read.config.get("no_rope_layers")
    if listed is None:
        interval = read.size("no_rope_layer_interval", 4, required=False)
        return tuple((i + 1) % interval != 0 for i in range(layers))
    if not isinstance(listed, list) or len(listed) != layers or any(one not in (0, 1) for one in listed):
        raise ModelError(f"no_rope_layers must be {layers} zeros and ones", f"{FIELD}.no_rope_layers")
    return tuple(bool(one) for one in listed)


def _windows(read: Reader, rotary: tuple[bool, ...]) -> tuple[int | None, ...]:
    """Layers without rotary positions slide, if ``use_sliding_window``; or as ``layer_types`` says."""
    if not read.flag("use_sliding_window", False) or read.config.get("sliding_window") is None:
        return ()
    window = read.size("sliding_window")
    if read.config.get("layer_types") is not None:
        return typed_windows(read, len(rotary), window)
    return tuple(None if one else window for one in rotary)


FAMILIES = {"smollm3": Family(read, "SmolLM3ForCausalLM")}
