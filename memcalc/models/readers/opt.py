"""Reads OPT configurations (transformers 5.23 models/opt/configuration_opt.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.opt import OptSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader


def read(config: Mapping[str, Any]) -> tuple[OptSpec, list[str]]:
    read = Reader(config)
    hidden, heads = read.size("hidden_size", 768), read.size("num_attention_heads", 12)
    if hidden % heads:
        raise ModelError(
            f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}", f"{FIELD}.hidden_size"
        )
    if not read.flag("layer_norm_elementwise_affine", True):
        raise ModelError(
            "OPT with norms without weights has no program yet", f"{FIELD}.layer_norm_elementwise_affine", [True]
        )
    if read.probability("layerdrop", 0.0):
        raise ModelError("OPT with layers dropped at random has no program", f"{FIELD}.layerdrop", [0.0])
    bias, norm_first = read.flag("enable_bias", True), read.flag("do_layer_norm_before", True)
    spec = OptSpec(
        family="opt",
        vocab=read.size("vocab_size", 50272),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 12),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=read.size("ffn_dim", 3072),
        max_positions=read.size("max_position_embeddings", 2048),
        activation=read.activation("activation_function", "relu"),
        tied=read.flag("tie_word_embeddings", True),
        learned_positions=True,
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        residual_dropout=read.probability("dropout", 0.1),
        attention_dropout=read.probability("attention_dropout", 0.0),
        norm_first=norm_first,
        embedding=read.size("word_embed_proj_dim", hidden, required=False),
        final_norm=norm_first and not read.flag("_remove_final_layer_norm", False),
    )
    return spec, read.assumptions


FAMILIES = {"opt": Family(read, "OPTForCausalLM")}
