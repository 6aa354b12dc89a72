"""Reads configurations of the Llama family: Llama, Mistral, Qwen2, Qwen3 (transformers 5.23
models/{llama,mistral,qwen2,qwen3}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.decoders import sizes, typed_windows


def _llama_like(
    defaults: Mapping[str, Any], windows: Callable[[Reader, int], tuple[int | None, ...]]
) -> Callable[[Mapping[str, Any]], tuple[DecoderSpec, list[str]]]:
    """A reader for one member of the Llama family, with that member's defaults."""

    def read_config(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
        read = Reader(config)
        common = sizes(read, defaults)
        biased = read.flag("attention_bias", False) if defaults.get("reads_bias", True) else False
        spec = DecoderSpec(
            family="llama",
            **common,
            qkv_bias=biased or bool(defaults.get("qkv_bias")),
            output_bias=biased,
            mlp_bias=read.flag("mlp_bias", False) if defaults.get("reads_mlp_bias") else False,
            qk_norm=bool(defaults.get("qk_norm")),
            windows=windows(read, common["layers"]),
        )
        return spec, read.assumptions

    return read_config


def _no_windows(read: Reader, layers: int) -> tuple[int | None, ...]:
    return ()


def _mistral_windows(read: Reader, layers: int) -> tuple[int | None, ...]:
    """Mistral: one window for all layers; a configuration that does not mention it has 4096."""
    if "sliding_window" in read.config and read.config["sliding_window"] is None:
        return ()
    return (read.size("sliding_window", 4096),) * layers


def _qwen_windows(read: Reader, layers: int) -> tuple[int | None, ...]:
    """Qwen: layers from ``max_window_layers`` on, only if ``use_sliding_window``; or as ``layer_types`` says."""
    if not read.flag("use_sliding_window", False) or read.config.get("sliding_window", 4096) is None:
        return ()
    window = read.size("sliding_window", 4096)
    types = read.config.get("layer_types")
    if types is None:
        first = read.config.get("max_window_layers", 28)
        if isinstance(first, bool) or not isinstance(first, int) or first < 0:
            raise ModelError("max_window_layers must be a whole number", f"{FIELD}.max_window_layers")
        return tuple(window if i >= first else None for i in range(layers))
    return typed_windows(read, layers, window)


_LLAMA = {"vocab": 32000, "ffn": 11008, "positions": 2048, "reads_mlp_bias": True}
_MISTRAL = {"vocab": 32000, "ffn": 14336, "positions": 131072, "kv_heads": 8, "reads_bias": False}
_QWEN2 = {"vocab": 151936, "ffn": 22016, "positions": 32768, "reads_bias": False, "qkv_bias": True}
_QWEN3 = {"vocab": 151936, "ffn": 22016, "positions": 32768, "head_dim": 128, "qk_norm": True}

FAMILIES = {
    "llama": Family(_llama_like(_LLAMA, _no_windows), "LlamaForCausalLM"),
    "mistral": Family(_llama_like(_MISTRAL, _mistral_windows), "MistralForCausalLM"),
    "qwen2": Family(_llama_like(_QWEN2, _qwen_windows), "Qwen2ForCausalLM"),
    "qwen3": Family(_llama_like(_QWEN3, _qwen_windows), "Qwen3ForCausalLM"),
}
