"""Reads configurations of more mixtures of experts: GLM-4.5, MiniMax-M2, GraniteMoe (transformers 5.23
models/{glm4_moe,minimax_m2,granitemoe,granitemoeshared}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.glm4_moe import Glm4MoeSpec, MiniMaxM2Spec
from memcalc.architectures.granite_moe import GraniteMoeSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Read, Reader
from memcalc.models.readers.decoders import rotary_width, sizes
from memcalc.models.readers.deepseek import first_dense, groups
from memcalc.models.readers.moe import chosen_experts, expert_count, plain_routing

_GLM = {
    "vocab": 151552, "hidden": 4096, "ffn": 10944, "layers": 46, "heads": 96, "kv_heads": 8, "positions": 131072,
}  # fmt: skip
_MINIMAX = {
    "vocab": 200064, "hidden": 3072, "ffn": 1536, "layers": 62, "heads": 48, "kv_heads": 8, "head_dim": 128,
    "positions": 196608,
}  # fmt: skip
_GRANITE = {"vocab": 32000, "ffn": 11008, "positions": 2048}


def read_glm(config: Mapping[str, Any]) -> tuple[Glm4MoeSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _GLM)
    plain_routing(read)
    experts = expert_count(read, 128)
    width = read.size("moe_intermediate_size", 1408)
    spec = Glm4MoeSpec(
        family="glm4_moe",
        **common,
        qkv_bias=read.flag("attention_bias", False),
        qk_norm=read.flag("use_qk_norm", False),
        experts=experts,
        chosen=chosen_experts(read, experts, 8),
        expert_ffn=width,
        dense_layers=first_dense(read, common["layers"], 1),
        normalise=read.flag("norm_topk_prob", True),
        shared_ffn=width * read.size("n_shared_experts", 1),
        grouped=True,
        **groups(read, experts, 1, 1),
        rotary_dim=rotary_width(read, common["head_dim"], 0.5),
    )
    return spec, read.assumptions


def read_minimax_m2(config: Mapping[str, Any]) -> tuple[MiniMaxM2Spec, list[str]]:
    read = Reader(config)
    common = sizes(read, _MINIMAX)
    plain_routing(read)
    experts = expert_count(read, 256)
    rotated = read.size("rotary_dim", required=False)  # published so, not as a share of the head
    if rotated > common["head_dim"] or rotated % 2:
        raise ModelError("rotary_dim must be even and at most head_dim", f"{FIELD}.rotary_dim")
    spec = MiniMaxM2Spec(
        family="minimax_m2",
        **common,
        qk_norm=True,
        experts=experts,
        chosen=chosen_experts(read, experts, 8),
        expert_ffn=common["ffn"],
        rotary_dim=rotated or rotary_width(read, common["head_dim"], 1.0),
    )
    return spec, read.assumptions


def _granite(shared: bool) -> Read:
    def read_config(config: Mapping[str, Any]) -> tuple[GraniteMoeSpec, list[str]]:
        read = Reader(config)
        common = sizes(read, _GRANITE)
        plain_routing(read)
        experts = expert_count(read, 8)
        biased = read.flag("attention_bias", False)
        wide = config.get("shared_intermediate_size") if shared else None
        spec = GraniteMoeSpec(
            family="granitemoe",
            **common,
            qkv_bias=biased,
            output_bias=biased,
            experts=experts,
            chosen=chosen_experts(read, experts, 2),
            expert_ffn=common["ffn"],
            shared_ffn=read.size("shared_intermediate_size") if wide else 0,
        )
        return spec, read.assumptions

    return read_config


FAMILIES = {
    "glm4_moe": Family(read_glm, "Glm4MoeForCausalLM"),
    "minimax_m2": Family(read_minimax_m2, "MiniMaxM2ForCausalLM"),
    "granitemoe": Family(_granite(False), "GraniteMoeForCausalLM"),
    "granitemoeshared": Family(_granite(True), "GraniteMoeSharedForCausalLM"),
}
