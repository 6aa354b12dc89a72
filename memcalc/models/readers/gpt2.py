"""Reads GPT-2 configurations (transformers 5.23 models/gpt2/configuration_gpt2.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader


def read(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(
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


FAMILIES = {"gpt2": Family(read, "GPT2LMHeadModel")}
