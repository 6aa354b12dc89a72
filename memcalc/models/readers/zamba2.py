"""Reads Zamba2's configurations (transformers 5.23 models/zamba2/configuration_zamba2.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.architectures.ssd import Ssd
from memcalc.architectures.zamba2 import Zamba2Spec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, View
from memcalc.models.readers.decoders import sizes

KINDS = ("linear_attention", "mamba", "hybrid")
"""Kinds of layers; ``mamba`` as older configurations call the first."""
_USUAL = [*["mamba"] * 6, "hybrid", *[*["mamba"] * 5, "hybrid"] * 6, *["mamba"] * 4, "hybrid", *["mamba"] * 3, "hybrid"]
USUAL = [*_USUAL, "mamba", "mamba"]
"""The layers of Zamba2-2.7B, which the code takes where the configuration is silent."""


def read_zamba2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    hidden = Reader(config).size("hidden_size", 2560)
    heads = Reader(config).size("num_attention_heads", 32)
    kinds = _kinds(config)
    over = {"head_dim": 2 * hidden // heads, "num_hidden_layers": len(kinds)}
    read = Reader(View(config, over=over, under={"intermediate_size": 4 * hidden}))
    common = sizes(read, {
        "vocab": 32000, "hidden": 2560, "ffn": 4 * hidden, "positions": 4096, "act": "gelu", "tied": True,
    })  # fmt: skip
    mamba_heads, groups = read.size("n_mamba_heads", 8), read.size("mamba_ngroups", 1)
    inner = read.size("mamba_expand", 2) * hidden
    if inner % mamba_heads or mamba_heads % groups:
        raise ModelError(
            f"{inner:,} channels do not divide into {mamba_heads} heads, or these into {groups} groups",
            f"{FIELD}.n_mamba_heads",
        )
    adapters = read.flag("use_shared_attention_adapter", False)
    if adapters and (common["heads"] * common["head_dim"] != 2 * hidden or common["kv_heads"] != common["heads"]):
        raise ModelError("adapters of the shared attention need as many key heads", f"{FIELD}.num_key_value_heads")
    if not common["tied"]:
        raise ModelError(
            "transformers shares the attention blocks only where the embeddings are tied",
            f"{FIELD}.tie_word_embeddings",
            [True],
        )
    chunk = read.size("chunk_size", 256)
    biased = read.flag("add_bias_linear", False)
    spec = Zamba2Spec(
        family="zamba2",
        **common,
        mlp_bias=biased,
        hybrid_layers=tuple(i for i, one in enumerate(kinds) if one == "hybrid"),
        shared_blocks=read.size("num_mem_blocks", 1),
        rank=read.size("adapter_rank", 128),
        attention_adapters=adapters,
        rotary=read.flag("use_mem_rope", False),
        ssd=Ssd(mamba_heads, inner // mamba_heads, groups, read.size("mamba_d_state", 64), chunk),
        kernel=read.size("mamba_d_conv", 4),
        linear_bias=biased,
    )
    return spec, read.assumptions


def _kinds(config: Mapping[str, Any]) -> list[str]:
    """Each layer's kind."""
    name = "layers_block_type" if config.get("layers_block_type") is not None else "layer_types"
    types = config.get(name)
    if types is None:
        return USUAL
    if not isinstance(types, list) or not types or any(one not in KINDS for one in types):
        raise ModelError(f"{name} must name each layer's kind", f"{FIELD}.{name}", KINDS)
    return [str(one) for one in types]


FAMILIES = {"zamba2": Family(read_zamba2, "Zamba2ForCausalLM")}
