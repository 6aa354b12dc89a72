"""Reads Phi-1, Phi-1.5 and Phi-2 configurations (transformers 5.23 models/phi/configuration_phi.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.rotary import PartialSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import rotary_width, sizes

DEFAULTS = {
    "hidden": 2048,
    "layers": 24,
    "heads": 32,
    "vocab": 51200,
    "ffn": 8192,
    "positions": 2048,
    "act": "gelu_new",
}


def read(config: Mapping[str, Any]) -> tuple[PartialSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, DEFAULTS)
    spec = PartialSpec(
        family="phi",
        **common,
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        qk_norm=read.flag("qk_layernorm", False),
        embedding_dropout=read.probability("embd_pdrop", 0.0),
        residual_dropout=read.probability("resid_pdrop", 0.0),
        rotary_dim=rotary_width(read, common["head_dim"], 0.5),
    )
    return spec, read.assumptions


FAMILIES = {"phi": Family(read, "PhiForCausalLM")}
