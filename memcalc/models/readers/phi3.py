"""Reads Phi-3, Phi-3.5 and Phi-4 configurations (transformers 5.23 models/phi3/configuration_phi3.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.rotary import PartialSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import rotary_width, sizes

DEFAULTS = {"hidden": 3072, "vocab": 32064, "ffn": 8192, "positions": 4096}


def read(config: Mapping[str, Any]) -> tuple[PartialSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, DEFAULTS)
    window = read.size("sliding_window", required=False)
    spec = PartialSpec(
        family="phi3",
        **common,
        residual_dropout=read.probability("resid_pdrop", 0.0),
        windows=(window,) * common["layers"] if window else (),
        rotary_dim=rotary_width(read, common["head_dim"], 1.0),
    )
    return spec, read.assumptions


FAMILIES = {"phi3": Family(read, "Phi3ForCausalLM")}
