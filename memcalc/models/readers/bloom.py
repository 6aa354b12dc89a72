"""Reads BLOOM configurations (transformers 5.23 models/bloom/configuration_bloom.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.bloom import BloomSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader

NO_LIMIT = 1_048_576
"""Tokens: alibi sets no limit of its own."""


def read(config: Mapping[str, Any]) -> tuple[BloomSpec, list[str]]:
    read = Reader(config, {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"})
    width = {"n_embed": "n_embed"} if config.get("n_embed") is not None else {}
    hidden = read.size(width.get("n_embed", "hidden_size"), 64)
    heads = read.size("num_attention_heads", 8)
    if hidden % heads:
        raise ModelError(f"hidden_size {hidden} is not a multiple of n_head {heads}", f"{FIELD}.hidden_size")
    if read.flag("slow_but_exact", False) and read.size("pretraining_tp", 1, required=False) > 1:
        raise ModelError("BLOOM with slow_but_exact has no program yet", f"{FIELD}.slow_but_exact", [False])
    spec = BloomSpec(
        family="bloom",
        vocab=read.size("vocab_size", 250880),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 2),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=4 * hidden,
        max_positions=read.size("seq_length", NO_LIMIT, required=False),
        activation="gelu",
        tied=read.flag("tie_word_embeddings", True),
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        residual_dropout=read.probability("hidden_dropout", 0.0),
        attention_dropout=read.probability("attention_dropout", 0.0),
        residual_after_norm=read.flag("apply_residual_connection_post_layernorm", False),
        eager_only=True,
    )
    return spec, read.assumptions


FAMILIES = {"bloom": Family(read, "BloomForCausalLM")}
