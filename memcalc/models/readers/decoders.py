"""What the configurations of Llama-like decoders have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Reader, finite, shown

LAYER_TYPES = ("full_attention", "sliding_attention")


def sizes(read: Reader, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a DecoderSpec that all have, with a family's ``defaults`` where the configuration is silent."""
    config = read.config
    hidden = read.size("hidden_size", defaults.get("hidden", 4096))
    heads = read.size("num_attention_heads", defaults.get("heads", 32))
    layers = read.size("num_hidden_layers", defaults.get("layers", 32))
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
    return {
        "hidden": hidden,
        "heads": heads,
        "layers": layers,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "vocab": read.size("vocab_size", defaults["vocab"]),
        "ffn": read.size("intermediate_size", defaults["ffn"]),
        "max_positions": read.size("max_position_embeddings", defaults["positions"]),
        "activation": read.activation(defaults.get("activation_field", "hidden_act"), defaults.get("act", "silu")),
        "tied": read.flag("tie_word_embeddings", defaults.get("tied", False)),
        "attention_dropout": read.probability("attention_dropout", 0.0),
    }


def rotary_width(read: Reader, head_dim: int, default: float) -> int:
    """How many of a head's values are rotated: ``partial_rotary_factor``, wherever the configuration has it."""
    field = f"{FIELD}.partial_rotary_factor"
    for place in (read.config.get("rope_scaling"), read.config.get("rope_parameters"), read.config):
        if isinstance(place, Mapping) and place.get("partial_rotary_factor") is not None:
            factor = place["partial_rotary_factor"]
            break
    else:
        factor = default
    if not finite(factor) or not 0 < factor <= 1:
        raise ModelError(f"partial_rotary_factor must be above 0 and at most 1, not {shown(factor)}", field)
    width = int(head_dim * factor)
    if width < 2 or width % 2:
        raise ModelError(f"{width} rotated values a head: an even number is needed", field)
    return width


def layer_windows(read: Reader, layers: int, period: int, default: int) -> tuple[int | None, ...]:
    """Each layer's window where every ``period``-th layer attends to everything, unless ``layer_types`` says."""
    window = read.size("sliding_window", default)
    if read.config.get("layer_types") is None:
        return tuple(window if (i + 1) % period else None for i in range(layers))
    return typed_windows(read, layers, window)


def typed_windows(read: Reader, layers: int, window: int) -> tuple[int | None, ...]:
    """Each layer's window as ``layer_types`` says."""
    types = read.config["layer_types"]
    if not isinstance(types, list) or len(types) != layers or any(one not in LAYER_TYPES for one in types):
        raise ModelError(f"layer_types must name each of the {layers} layers", f"{FIELD}.layer_types", LAYER_TYPES)
    return tuple(window if one == "sliding_attention" else None for one in types)
