"""Reads GPT-J configurations (transformers 5.23 models/gptj/configuration_gptj.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.gptj import GptJSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader

NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}


def read(config: Mapping[str, Any]) -> tuple[GptJSpec, list[str]]:
    read = Reader(config, NAMES)
    hidden, heads = read.size("hidden_size", 4096), read.size("num_attention_heads", 16)
    if hidden % heads:
        raise ModelError(f"n_embd {hidden} is not divisible by n_head {heads}", f"{FIELD}.n_head")
    width = read.size("rotary_dim", 64)
    if width % 2 or width > hidden // heads:
        raise ModelError(
            f"rotary_dim must be even and at most the head's {hidden // heads}, not {width}", f"{FIELD}.rotary_dim"
        )
    limit = read.size("max_position_embeddings", 2048)
    spec = GptJSpec(
        family="gptj",
        vocab=read.size("vocab_size", 50400),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 28),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=read.size("n_inner", 4 * hidden, required=False),
        max_positions=limit,
        activation=read.activation("activation_function", "gelu_new"),
        tied=read.flag("tie_word_embeddings", False),
        learned_positions=True,
        mlp_bias=True,
        embedding_dropout=read.probability("embd_pdrop", 0.0),
        residual_dropout=read.probability("resid_pdrop", 0.0),
        attention_dropout=read.probability("attn_pdrop", 0.0),
        rotary_dim=width,
        table=limit,
        eager_only=True,
    )
    return spec, read.assumptions


FAMILIES = {"gptj": Family(read, "GPTJForCausalLM")}
