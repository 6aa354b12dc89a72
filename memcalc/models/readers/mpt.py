"""Reads MPT configurations (transformers 5.23 models/mpt/configuration_mpt.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.mpt import MptSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader

NAMES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "max_position_embeddings": "max_seq_len",
}


def read(config: Mapping[str, Any]) -> tuple[MptSpec, list[str]]:
    read = Reader(config, NAMES)
    attention = config.get("attn_config") or {}
    if not isinstance(attention, Mapping):
        raise ModelError("attn_config must be an object", f"{FIELD}.attn_config")
    inner = Reader(attention)
    hidden, heads = read.size("hidden_size", 2048), read.size("num_attention_heads", 16)
    if hidden % heads:
        raise ModelError(f"d_model {hidden} is not a multiple of n_heads {heads}", f"{FIELD}.d_model")
    limit = read.size("max_position_embeddings", 2048)
    if read.size("expansion_ratio", 4, required=False) != 4:
        raise ModelError("transformers builds MPT with an expansion_ratio of 4 only", f"{FIELD}.expansion_ratio", [4])
    spec = MptSpec(
        family="mpt",
        vocab=read.size("vocab_size", 50368),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 24),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=4 * hidden,
        max_positions=limit,
        activation="gelu",
        tied=read.flag("tie_word_embeddings", True),
        attention_dropout=inner.probability("attn_pdrop", 0.0),
        clipped=bool(attention.get("clip_qkv")),
        eager_only=True,
    )
    return spec, read.assumptions


FAMILIES = {"mpt": Family(read, "MptForCausalLM")}
