"""Reads RWKV-4's configurations (transformers 5.23 models/rwkv/configuration_rwkv.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.rwkv import RwkvSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.mamba import POSITIONS


def read_rwkv(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    hidden = read.size("hidden_size", 4096)
    every = config.get("rescale_every", 6)
    if isinstance(every, bool) or not isinstance(every, int):
        raise ModelError("rescale_every must be a whole number", f"{FIELD}.rescale_every")
    inner = read.size("attention_hidden_size", required=False) or hidden
    if inner != hidden:
        raise ModelError(
            "transformers' states are hidden_size wide: it cannot generate with another attention_hidden_size",
            f"{FIELD}.attention_hidden_size",
            [hidden],
        )
    spec = RwkvSpec(
        family="rwkv",
        vocab=read.size("vocab_size", 50277),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 32),
        heads=1,
        kv_heads=1,
        head_dim=hidden,
        ffn=read.size("intermediate_size", required=False) or 4 * hidden,
        max_positions=POSITIONS,
        activation="relu",
        tied=read.flag("tie_word_embeddings", False),
        inner=inner,
        rescale_every=max(every, 0),
    )
    return spec, read.assumptions


FAMILIES = {"rwkv": Family(read_rwkv, "RwkvForCausalLM")}
