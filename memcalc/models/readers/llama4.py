"""Reads Llama 4 configurations, of the text model and of the whole (transformers 5.23
models/llama4/configuration_llama4.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.llama4 import Llama4Spec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, View
from memcalc.models.readers.decoders import sizes
from memcalc.models.readers.moe import chosen_experts, expert_count, plain_routing
from memcalc.models.readers.smollm3 import rotary_layers

_LLAMA4 = {
    "vocab": 202048, "hidden": 5120, "layers": 48, "heads": 40, "kv_heads": 8, "head_dim": 128, "ffn": 8192,
    "positions": 131072,
}  # fmt: skip
LAYER_TYPES = ("chunked_attention", "full_attention")


def read(config: Mapping[str, Any]) -> tuple[Llama4Spec, list[str]]:
    # Published as an empty list.
    read = Reader(View(config, over={"no_rope_layers": config.get("no_rope_layers") or None}))
    common = sizes(read, _LLAMA4)
    plain_routing(read)
    experts = expert_count(read, 16)
    biased = read.flag("attention_bias", False)
    width, common["ffn"] = common["ffn"], read.size("intermediate_size_mlp", 16384)
    rotary = rotary_layers(read, common["layers"])
    spec = Llama4Spec(
        family="llama4_text",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        qk_norm=read.flag("use_qk_norm", True),
        windows=_chunks(read, rotary),
        experts=experts,
        chosen=chosen_experts(read, experts, 1),
        expert_ffn=width,
        dense_layers=_dense_layers(read, common["layers"]),
        rotary_layers=rotary,
        tempered=read.flag("attn_temperature_tuning", True),
    )
    return spec, read.assumptions


def _chunks(read: Reader, rotary: tuple[bool, ...]) -> tuple[int | None, ...]:
    """Layers with rotary positions attend within their chunk, unless ``layer_types`` says otherwise."""
    chunk, types = read.size("attention_chunk_size", 8192), read.config.get("layer_types")
    if types is None:
        return tuple(chunk if one else None for one in rotary)
    if not isinstance(types, list) or len(types) != len(rotary) or any(one not in LAYER_TYPES for one in types):
        raise ModelError(f"layer_types must name each of the {len(rotary)} layers", f"{FIELD}.layer_types", LAYER_TYPES)
    return tuple(chunk if one == LAYER_TYPES[0] else None for one in types)


def _dense_layers(read: Reader, layers: int) -> tuple[int, ...]:
    """The layers without experts: all that ``moe_layers`` does not name, or all but every so many."""
    named = read.config.get("moe_layers")
    if named is None:
        step = read.size("interleave_moe_layer_step", 1)
        return tuple(i for i in range(layers) if (i + 1) % step)
    if not isinstance(named, list) or any(isinstance(one, bool) or not isinstance(one, int) for one in named):
        raise ModelError("moe_layers must be a list of layer numbers", f"{FIELD}.moe_layers")
    return tuple(i for i in range(layers) if i not in named)


FAMILIES = {"llama4_text": Family(read, "Llama4ForCausalLM")}
