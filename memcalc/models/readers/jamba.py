"""Reads Jamba's configurations (transformers 5.23 models/jamba/configuration_jamba.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from memcalc.architectures.jamba import JambaSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.decoders import sizes
from memcalc.models.readers.moe import chosen_experts, expert_count, plain_routing

_DEFAULTS = {"vocab": 65536, "ffn": 14336, "positions": 262144, "kv_heads": 8}


def every(read: Reader, what: str, layers: int, period: int, offset: int) -> tuple[int, ...]:
    """The layers that ``what``_layer_period and ``what``_layer_offset choose."""
    period = read.size(f"{what}_layer_period", period)
    first = read.config.get(f"{what}_layer_offset", offset)
    if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first < period:
        raise ModelError(f"{what}_layer_offset must be from 0 to below {period}", f"{FIELD}.{what}_layer_offset")
    return tuple(i for i in range(layers) if i % period == first)


def read_jamba(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _DEFAULTS)
    layers, hidden = common["layers"], common["hidden"]
    if config.get("use_mambapy"):
        raise ModelError("the scan of mambapy has no program", f"{FIELD}.use_mambapy", [False])
    experts = expert_count(read, 16)
    plain_routing(read)
    sparse = every(read, "expert", layers, 2, 1) if experts > 1 else ()
    automatic = config.get("mamba_dt_rank", "auto") == "auto"
    spec = JambaSpec(
        family="jamba",
        **common,
        experts=experts,
        chosen=chosen_experts(read, experts, min(2, experts)),
        expert_ffn=common["ffn"],
        dense_layers=tuple(i for i in range(layers) if i not in sparse),
        normalise=False,
        attention_layers=every(read, "attn", layers, 8, 4),
        inner=read.size("mamba_expand", 2) * hidden,
        state_size=read.size("mamba_d_state", 16),
        kernel=read.size("mamba_d_conv", 4),
        rank=math.ceil(hidden / 16) if automatic else read.size("mamba_dt_rank"),
        conv_bias=read.flag("mamba_conv_bias", True),
        linear_bias=read.flag("mamba_proj_bias", False),
    )
    return spec, read.assumptions


FAMILIES = {"jamba": Family(read_jamba, "JambaForCausalLM")}
