"""Reads T5 and mT5 configurations (transformers 5.23 models/{t5,mt5}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.layers import KNOWN_ACTIVATIONS
from memcalc.architectures.t5 import T5Spec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, shown

NAMES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "head_dim": "d_kv",
    "intermediate_size": "d_ff",
}
UNLIMITED = 1_048_576
"""Tokens: relative positions end nowhere; a limit so that a length is asked for in earnest."""


def read(config: Mapping[str, Any]) -> tuple[T5Spec, list[str]]:
    read, many = Reader(config, NAMES), config.get("model_type") == "mt5"
    layers, heads = read.size("num_hidden_layers", 8 if many else 6), read.size("num_attention_heads", 6 if many else 8)
    activation, gated = _feed_forward(config, "gated-gelu" if many else "relu")
    tied = read.flag("tie_word_embeddings", True)
    spec = T5Spec(
        family="t5",
        vocab=read.size("vocab_size", 250112 if many else 32128),
        hidden=read.size("hidden_size", 512),
        layers=read.size("num_decoder_layers", layers, required=False),
        heads=heads,
        kv_heads=heads,
        head_dim=read.size("head_dim", 64),
        ffn=read.size("intermediate_size", 1024 if many else 2048),
        max_positions=read.size("n_positions", UNLIMITED, required=False),
        activation=activation,
        tied=tied,
        residual_dropout=read.probability("dropout_rate", 0.1),
        encoder_layers=layers,
        max_targets=UNLIMITED,
        buckets=read.size("relative_attention_num_buckets", 32),
        gated=gated,
        scaled=not many and read.flag("scale_decoder_outputs", tied),
    )
    if not tied:
        read.assumptions.append(
            "tie_word_embeddings is false: the published files have a head of their own, and transformers 5, which "
            "would tie it, leaves it apart where the file's differs from the embedding"
        )
    return spec, read.assumptions


def _feed_forward(config: Mapping[str, Any], usual: str) -> tuple[str, bool]:
    said = config.get("feed_forward_proj", usual)
    words = said.split("-") if isinstance(said, str) else []
    if said == "gated-gelu":
        return "gelu_new", True
    if words and words[-1] in KNOWN_ACTIVATIONS and words[:-1] in ([], ["gated"]):
        return words[-1], len(words) == 2
    raise ModelError(
        f"the feed-forward {shown(said)} has no program", f"{FIELD}.feed_forward_proj", ["relu", "gated-gelu"]
    )


FAMILIES = {
    "t5": Family(read, "T5ForConditionalGeneration", ("T5ForConditionalGeneration", "T5WithLMHeadModel")),
    "mt5": Family(read, "MT5ForConditionalGeneration"),
}
