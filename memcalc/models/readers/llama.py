"""Reads configurations of the Llama family: Llama, Mistral, Qwen2, Qwen3 (transformers 5.23
models/{llama,mistral,qwen2,qwen3}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader


def _llama_like(
    defaults: Mapping[str, Any], windows: Callable[[Reader, int], tuple[int | None, ...]]
) -> Callable[[Mapping[str, Any]], tuple[DecoderSpec, list[str]]]:
    """A reader for one member of the Llama family, with that member's defaults."""

    def read_config(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
        read = Reader(config)
        hidden = read.size("hidden_size", 4096)
        heads = read.size("num_attention_heads", 32)
        layers = read.size("num_hidden_layers", 32)
        kv_heads = read.size("num_key_value_heads", defaults.get("kv_heads", heads), required=False)
        head_dim = read.size("head_dim", defaults.get("head_dim", hidden // heads), required=False)
        if heads % kv_heads:
            raise ModelError(
                f"num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}",
                f"{FIELD}.num_key_value_heads",
            )
        if hidden % heads and config.get("head_dim") is None and "head_dim" not in defaults:
            raise ModelError(
                f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}", f"{FIELD}.hidden_size"
            )
        if head_dim % 2:
            raise ModelError(f"rotary positions need an even head_dim, not {head_dim}", f"{FIELD}.head_dim")
        biased = read.flag("attention_bias", False) if defaults.get("reads_bias", True) else False
        spec = DecoderSpec(
            family="llama",
            vocab=read.size("vocab_size", defaults["vocab"]),
            hidden=hidden,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            ffn=read.size("intermediate_size", defaults["ffn"]),
            max_positions=read.size("max_position_embeddings", defaults["positions"]),
            activation=read.activation("hidden_act", "silu"),
            tied=read.flag("tie_word_embeddings", False),
            qkv_bias=biased or bool(defaults.get("qkv_bias")),
            output_bias=biased,
            mlp_bias=read.flag("mlp_bias", False) if defaults.get("reads_mlp_bias") else False,
            qk_norm=bool(defaults.get("qk_norm")),
            attention_dropout=read.probability("attention_dropout", 0.0),
            windows=windows(read, layers),
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
    known = ("full_attention", "sliding_attention")
    if not isinstance(types, list) or len(types) != layers or any(one not in known for one in types):
        raise ModelError(f"layer_types must name each of the {layers} layers", f"{FIELD}.layer_types", known)
    return tuple(window if one == "sliding_attention" else None for one in types)


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
