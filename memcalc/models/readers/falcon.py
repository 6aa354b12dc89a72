"""Reads Falcon configurations (transformers 5.23 models/falcon/configuration_falcon.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.falcon import FalconSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader


def read(config: Mapping[str, Any]) -> tuple[FalconSpec, list[str]]:
    read = Reader(config)
    hidden, heads = read.size("hidden_size", 4544), read.size("num_attention_heads", 71)
    if hidden % heads:
        raise ModelError(
            f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}", f"{FIELD}.hidden_size"
        )
    new, alibi = read.flag("new_decoder_architecture", False), read.flag("alibi", False)
    if alibi and new:
        raise ModelError("Falcon's new decoder with alibi has no program yet", f"{FIELD}.alibi", [False])
    for field, usual in (("multi_query", True), ("parallel_attn", True)):
        wanted = usual and not alibi  # the models with alibi have neither
        if read.flag(field, usual) is not wanted and not (new and field == "multi_query"):
            raise ModelError(f"Falcon with {field} {not wanted} has no program yet", f"{FIELD}.{field}", [wanted])
    groups = (read.size("num_kv_heads", heads, required=False)) if new else 0
    if groups and heads % groups:
        raise ModelError(
            f"num_attention_heads {heads} is not a multiple of num_kv_heads {groups}", f"{FIELD}.num_kv_heads"
        )
    norms = read.size("num_ln_in_parallel_attn", 2 if new else 1, required=False)
    bias = read.flag("bias", False)
    spec = FalconSpec(
        family="falcon_alibi" if alibi else "falcon",
        vocab=read.size("vocab_size", 65024),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 32),
        heads=heads,
        kv_heads=heads if new or alibi else 1,
        head_dim=hidden // heads,
        ffn=read.size("ffn_hidden_size", 4 * hidden, required=False),
        max_positions=read.size("max_position_embeddings", 2048, required=False),
        activation=read.activation("activation", "gelu"),
        tied=read.flag("tie_word_embeddings", True),
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        residual_dropout=read.probability("hidden_dropout", 0.0),
        attention_dropout=read.probability("attention_dropout", 0.0),
        groups=groups,
        norms=norms,
    )
    return spec, read.assumptions


FAMILIES = {"falcon": Family(read, "FalconForCausalLM")}
