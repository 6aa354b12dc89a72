"""Reads GPT-BigCode configurations (transformers 5.23 models/gpt_bigcode/configuration_gpt_bigcode.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader

NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}


def read(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config, NAMES)
    hidden, heads = read.size("hidden_size", 768), read.size("num_attention_heads", 12)
    if hidden % heads:
        raise ModelError(f"n_embd {hidden} is not divisible by n_head {heads}", f"{FIELD}.n_head")
    if read.flag("add_cross_attention", False):
        raise ModelError(
            "GPT-BigCode with add_cross_attention has no program yet", f"{FIELD}.add_cross_attention", [False]
        )
    spec = DecoderSpec(
        family="gpt_bigcode",
        vocab=read.size("vocab_size", 50257),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 12),
        heads=heads,
        kv_heads=1 if read.flag("multi_query", True) else heads,
        head_dim=hidden // heads,
        ffn=read.size("n_inner", 4 * hidden, required=False),
        max_positions=read.size("max_position_embeddings", 1024),
        activation=read.activation("activation_function", "gelu_pytorch_tanh"),
        tied=read.flag("tie_word_embeddings", True),
        learned_positions=True,
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        embedding_dropout=read.probability("embd_pdrop", 0.1),
        residual_dropout=read.probability("resid_pdrop", 0.1),
        attention_dropout=read.probability("attn_pdrop", 0.1),
    )
    return spec, read.assumptions


FAMILIES = {"gpt_bigcode": Family(read, "GPTBigCodeForCausalLM")}
