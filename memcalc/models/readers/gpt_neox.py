"""Reads GPT-NeoX and Pythia configurations (transformers 5.23 models/gpt_neox/configuration_gpt_neox.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.gpt_neox import GptNeoxSpec
from memcalc.models.reader import Family, Reader, View
from memcalc.models.readers.decoders import rotary_width, sizes

DEFAULTS = {
    "hidden": 6144,
    "layers": 44,
    "heads": 64,
    "vocab": 50432,
    "ffn": 24576,
    "positions": 2048,
    "act": "gelu",
}


def read(config: Mapping[str, Any]) -> tuple[GptNeoxSpec, list[str]]:
    under = {"partial_rotary_factor": config["rotary_pct"]} if "rotary_pct" in config else {}  # this family's name
    read = Reader(View(config, ("num_key_value_heads", "head_dim"), under=under))
    common = sizes(read, DEFAULTS)
    dropout, bias = read.probability("hidden_dropout", 0.0), read.flag("attention_bias", True)
    spec = GptNeoxSpec(
        family="gpt_neox",
        **common,
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=True,
        embedding_dropout=dropout,
        residual_dropout=dropout,
        rotary_dim=rotary_width(read, common["head_dim"], 0.25),
        parallel=read.flag("use_parallel_residual", True),
    )
    return spec, read.assumptions


FAMILIES = {"gpt_neox": Family(read, "GPTNeoXForCausalLM")}
