"""From a Hugging Face ``config.json`` to a specification, with the defaults of transformers 5.23.

Only what decides shapes and memory is read. A configuration that memcalc has no program for is refused
by name, one that contradicts itself by field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from memcalc.architectures.layers import KNOWN_ACTIVATIONS
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.description import ModelDescription

FIELD = "model.config"
LARGEST = {"num_hidden_layers": 10_000}
LARGEST_DIMENSION = 100_000_000


class _Reader:
    """Reads checked values out of a configuration; keeps what it had to assume."""

    def __init__(self, config: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.names = names or {}
        self.assumptions: list[str] = []

    def _get(self, name: str) -> tuple[str, Any]:
        own = self.names.get(name, name)
        if own in self.config:
            return own, self.config[own]
        return (name, self.config[name]) if name in self.config else (own, None)

    def size(self, name: str, default: int | None = None, required: bool = True) -> int:
        """A positive whole number."""
        own, value = self._get(name)
        if value is None:
            if default is None and required:
                raise ModelError(f"config.json lacks {own}", f"{FIELD}.{own}")
            if default is not None and required:
                self.assumptions.append(f"{own} is not in the configuration: transformers' default {default} is taken")
            return default or 0
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        limit = LARGEST.get(name, LARGEST_DIMENSION)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= limit:
            raise ModelError(f"{own} must be a whole number from 1 to {limit:,}, not {_shown(value)}", f"{FIELD}.{own}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        own, value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ModelError(f"{own} must be true or false, not {_shown(value)}", f"{FIELD}.{own}")
        return value

    def probability(self, name: str, default: float) -> float:
        own, value = self._get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ModelError(f"{own} must be a number from 0 to below 1, not {_shown(value)}", f"{FIELD}.{own}")
        return float(value)

    def activation(self, name: str, default: str) -> str:
        own, value = self._get(name)
        value = default if value is None else value
        if value not in KNOWN_ACTIVATIONS:
            raise ModelError(f"the activation {_shown(value)} has no program yet", f"{FIELD}.{own}", KNOWN_ACTIVATIONS)
        return str(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def describe(config: Any, name: str = "") -> ModelDescription:
    """The model that ``config`` (a parsed config.json) describes; ModelError if there is no program for it."""
    if not isinstance(config, Mapping):
        raise ModelError("a config.json must be a JSON object", FIELD)
    kind = config.get("model_type")
    if kind is None:
        raise ModelError("config.json lacks model_type", f"{FIELD}.model_type", sorted(FAMILIES))
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ModelError(f"no program yet for model_type {_shown(kind)}", f"{FIELD}.model_type", sorted(FAMILIES))
    head_note = _head(config, kind)
    spec, assumptions = FAMILIES[kind](config)
    if config.get("quantization_config"):
        assumptions.append("quantization_config is ignored: weights are taken in the scenario's precision")
    return ModelDescription(name or kind, spec, "program", (*head_note, *assumptions), "config.json")


def _head(config: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Check the head that ``architectures`` names: only language modelling has a program yet."""
    named = config.get("architectures")
    usual = HEADS[kind]
    if not named:
        return (f"architectures is not in the configuration: {usual} is taken",)
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise ModelError("architectures must be a list of names", f"{FIELD}.architectures", [usual])
    if named[0] == usual:
        return ()
    raise ModelError(f"no program yet for the head of {_shown(named[0])}", f"{FIELD}.architectures", [usual])


def _gpt2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = _Reader(
        config,
        {
            "hidden_size": "n_embd",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
            "max_position_embeddings": "n_positions",
        },
    )
    hidden, heads = read.size("hidden_size", 768), read.size("num_attention_heads", 12)
    if hidden % heads:
        raise ModelError(f"n_embd {hidden} is not divisible by n_head {heads}", f"{FIELD}.n_head")
    for option in ("add_cross_attention", "reorder_and_upcast_attn"):
        if read.flag(option, False):
            raise ModelError(f"GPT-2 with {option} has no program yet", f"{FIELD}.{option}", [False])
    spec = DecoderSpec(
        family="gpt2",
        vocab=read.size("vocab_size", 50257),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 12),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=read.size("n_inner", 4 * hidden, required=False),
        max_positions=read.size("max_position_embeddings", 1024),
        activation=read.activation("activation_function", "gelu_new"),
        tied=read.flag("tie_word_embeddings", True),
        learned_positions=True,
        embedding_dropout=read.probability("embd_pdrop", 0.1),
        residual_dropout=read.probability("resid_pdrop", 0.1),
        attention_dropout=read.probability("attn_pdrop", 0.1),
    )
    return spec, read.assumptions


def _llama_like(
    defaults: Mapping[str, Any], windows: Callable[[_Reader, int], tuple[int | None, ...]]
) -> Callable[[Mapping[str, Any]], tuple[DecoderSpec, list[str]]]:
    """A reader for one member of the Llama family, with that member's defaults."""

    def read_config(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
        read = _Reader(config)
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


def _no_windows(read: _Reader, layers: int) -> tuple[int | None, ...]:
    return ()


def _mistral_windows(read: _Reader, layers: int) -> tuple[int | None, ...]:
    """Mistral: one window for all layers; a configuration that does not mention it has 4096."""
    if "sliding_window" in read.config and read.config["sliding_window"] is None:
        return ()
    return (read.size("sliding_window", 4096),) * layers


def _qwen_windows(read: _Reader, layers: int) -> tuple[int | None, ...]:
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

FAMILIES: dict[str, Callable[[Mapping[str, Any]], tuple[DecoderSpec, list[str]]]] = {
    "gpt2": _gpt2,
    "llama": _llama_like(_LLAMA, _no_windows),
    "mistral": _llama_like(_MISTRAL, _mistral_windows),
    "qwen2": _llama_like(_QWEN2, _qwen_windows),
    "qwen3": _llama_like(_QWEN3, _qwen_windows),
}
HEADS = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}


def finite(value: Any) -> bool:
    """Whether ``value`` is a number that is neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
