"""Reads Nemotron-H's configurations (transformers 5.23 models/nemotron_h/configuration_nemotron_h.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.nemotron_h import Kind, NemotronHSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.architectures.ssd import Ssd
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, View
from memcalc.models.readers.decoders import sizes

_DEFAULTS = {
    "vocab": 131072, "ffn": 21504, "positions": 4096, "kv_heads": 8, "head_dim": 128, "act": "relu2",
    "activation_field": "mlp_hidden_act",
}  # fmt: skip
LETTERS: dict[str, Kind] = {"M": "linear_attention", "*": "full_attention", "-": "mlp"}
KINDS: dict[str, Kind] = {one: one for one in LETTERS.values()} | {
    "mamba": "linear_attention",
    "attention": "full_attention",
}
"""Kinds of layers; the last two as older configurations call them."""


def read_nemotron_h(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    kinds = layer_kinds(config)
    read = Reader(View(config, over={"num_hidden_layers": len(kinds)}))
    common = sizes(read, _DEFAULTS)
    heads, width = read.size("mamba_num_heads", 128), read.size("mamba_head_dim", 64)
    groups = read.size("n_groups", 8)
    if heads % groups:
        raise ModelError(f"{heads} heads do not divide into {groups} groups", f"{FIELD}.n_groups")
    spec = NemotronHSpec(
        family="nemotron_h",
        **common,
        mlp_bias=read.flag("mlp_bias", False),
        kinds=kinds,
        ssd=Ssd(heads, width, groups, read.size("ssm_state_size", 128), read.size("chunk_size", 128)),
        kernel=read.size("conv_kernel", 4),
        conv_bias=read.flag("use_conv_bias", True),
        linear_bias=read.flag("use_bias", False),
        mixer_activation=read.activation("mamba_hidden_act", "silu"),
    )
    return spec, read.assumptions


def layer_kinds(config: Mapping[str, Any]) -> tuple[Kind, ...]:
    """Each layer's kind, from ``hybrid_override_pattern`` (M: mixer, *: attention, -: feed-forward) or
    ``layers_block_type`` (``layer_types``)."""
    pattern = config.get("hybrid_override_pattern")
    name = "layers_block_type" if config.get("layers_block_type") is not None else "layer_types"
    types = config.get(name)
    if types is None and isinstance(pattern, str):
        name, types = "hybrid_override_pattern", [LETTERS.get(one, one) for one in pattern]
    if not isinstance(types, list) or not types:
        raise ModelError("config.json must say what each layer is", f"{FIELD}.hybrid_override_pattern")
    if any(one in ("moe", "E") for one in types):
        raise ModelError("Nemotron-H's layers of experts have no program yet", f"{FIELD}.{name}", [*LETTERS.values()])
    found = [KINDS.get(one) if isinstance(one, str) else None for one in types]
    kinds = tuple(one for one in found if one is not None)
    if len(kinds) < len(found):
        raise ModelError(f"{name} must name each layer's kind", f"{FIELD}.{name}", [*LETTERS.values()])
    return kinds


FAMILIES = {"nemotron_h": Family(read_nemotron_h, "NemotronHForCausalLM")}
