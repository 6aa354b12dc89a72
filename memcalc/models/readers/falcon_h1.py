"""Reads Falcon-H1's configurations (transformers 5.23 models/falcon_h1/configuration_falcon_h1.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.falcon_h1 import FalconH1Spec
from memcalc.architectures.spec import DecoderSpec
from memcalc.architectures.ssd import Ssd
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.decoders import sizes

_DEFAULTS = {"vocab": 128000, "ffn": 14336, "positions": 8192, "kv_heads": 8}


def mamba_scan(read: Reader, inner: int, groups: int, state: int) -> Ssd:
    """A scan of Mamba-2's kind from the fields that hybrids have for it; defaults of groups and state differ."""
    heads = read.size("mamba_n_heads", 128)
    automatic = read.config.get("mamba_d_head", "auto") == "auto"
    width = inner // heads if automatic else read.size("mamba_d_head")
    if heads * width != inner:
        raise ModelError(
            f"mamba_n_heads × mamba_d_head, {heads * width:,}, must be the mixer's width, {inner:,}",
            f"{FIELD}.mamba_n_heads",
        )
    groups = read.size("mamba_n_groups", groups)
    if heads % groups:
        raise ModelError(f"{heads} heads do not divide into {groups} groups", f"{FIELD}.mamba_n_groups")
    return Ssd(heads, width, groups, read.size("mamba_d_state", state), read.size("mamba_chunk_size", 256))


def read_falcon_h1(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _DEFAULTS)
    given = config.get("mamba_d_ssm", 1024) is not None
    inner = read.size("mamba_d_ssm", 1024) if given else read.size("mamba_expand", 2) * common["hidden"]
    biased = read.flag("attention_bias", False)
    spec = FalconH1Spec(
        family="falcon_h1",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        mlp_bias=read.flag("mlp_bias", False),
        ssd=mamba_scan(read, inner, 1, 256),
        kernel=read.size("mamba_d_conv", 4),
        conv_bias=read.flag("mamba_conv_bias", True),
        in_bias=read.flag("mamba_proj_bias", False),
        out_bias=read.flag("projectors_bias", False),
        inner_norm=read.flag("mamba_rms_norm", False),
        norm_first=read.flag("mamba_norm_before_gate", True),
    )
    return spec, read.assumptions


FAMILIES = {"falcon_h1": Family(read_falcon_h1, "FalconH1ForCausalLM")}
