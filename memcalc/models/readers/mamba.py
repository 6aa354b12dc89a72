"""Reads configurations of state-space models: Mamba, Falcon-Mamba, Mamba-2 (transformers 5.23
models/{mamba,falcon_mamba,mamba2}/configuration_*.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from memcalc.architectures.mamba import MambaSpec
from memcalc.architectures.mamba2 import Mamba2Spec
from memcalc.architectures.spec import DecoderSpec
from memcalc.architectures.ssd import Ssd
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Read, Reader

POSITIONS = 1_048_576
"""Tokens that a model without positions is taken to reach: nothing in it ends earlier."""


def _reader(inner_norms: bool) -> Read:
    def read_config(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
        read = Reader(config)
        hidden = read.size("hidden_size", 768)
        if config.get("use_mambapy"):
            raise ModelError("the scan of mambapy has no program", f"{FIELD}.use_mambapy", [False])
        expand = read.size("expand", 2)
        if config.get("intermediate_size") not in (None, expand * hidden):
            read.assumptions.append(
                f"intermediate_size is not read: transformers takes expand × hidden_size, {expand * hidden:,}"
            )
        automatic = config.get("time_step_rank", "auto") == "auto"
        spec = MambaSpec(
            family="mamba",
            vocab=read.size("vocab_size", 50280),
            hidden=hidden,
            layers=read.size("num_hidden_layers", 32),
            heads=1,
            kv_heads=1,
            head_dim=hidden,
            ffn=expand * hidden,
            max_positions=POSITIONS,
            activation=read.activation("hidden_act", "silu"),
            tied=read.flag("tie_word_embeddings", True),
            inner=expand * hidden,
            state_size=read.size("state_size", 16),
            kernel=read.size("conv_kernel", 4),
            rank=math.ceil(hidden / 16) if automatic else read.size("time_step_rank"),
            conv_bias=read.flag("use_conv_bias", True),
            linear_bias=read.flag("use_bias", False),
            wide_residual=read.flag("residual_in_fp32", True),
            inner_norms=inner_norms,
        )
        return spec, read.assumptions

    return read_config


def read_mamba2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    hidden, heads, width = read.size("hidden_size", 4096), read.size("num_heads", 128), read.size("head_dim", 64)
    groups = read.size("n_groups", 8)
    inner = read.size("expand", 2) * hidden
    if inner != heads * width:
        raise ModelError(f"expand × hidden_size, {inner:,}, must be num_heads × head_dim", f"{FIELD}.num_heads")
    if heads % groups:
        raise ModelError(f"{heads} heads do not divide into {groups} groups", f"{FIELD}.n_groups")
    ssd = Ssd(heads, width, groups, read.size("state_size", 128), read.size("chunk_size", 256))
    spec = Mamba2Spec(
        family="mamba2",
        vocab=read.size("vocab_size", 32768),
        hidden=hidden,
        layers=read.size("num_hidden_layers", 64),
        heads=1,
        kv_heads=1,
        head_dim=hidden,
        ffn=inner,
        max_positions=POSITIONS,
        activation=read.activation("hidden_act", "silu"),
        tied=read.flag("tie_word_embeddings", False),
        inner=inner,
        state_size=ssd.state,
        kernel=read.size("conv_kernel", 4),
        conv_bias=read.flag("use_conv_bias", True),
        linear_bias=read.flag("use_bias", False),
        wide_residual=read.flag("residual_in_fp32", True),
        ssd=ssd,
    )
    return spec, read.assumptions


FAMILIES = {
    "falcon_mamba": Family(_reader(True), "FalconMambaForCausalLM"),
    "mamba": Family(_reader(False), "MambaForCausalLM"),
    "mamba2": Family(read_mamba2, "Mamba2ForCausalLM"),
}
