"""Reads configurations of mixtures of experts: Mixtral, OLMoE, Qwen2- and Qwen3-MoE, gpt-oss
(transformers 5.23 models/{mixtral,olmoe,qwen2_moe,qwen3_moe,gpt_oss}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.moe import MoeSpec
from memcalc.architectures.qwen2_moe import Qwen2MoeSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.decoders import layer_windows, sizes

_MIXTRAL = {"vocab": 32000, "ffn": 14336, "positions": 131072, "kv_heads": 8}
_QWEN2 = {"vocab": 151936, "hidden": 2048, "layers": 24, "heads": 16, "ffn": 5632, "positions": 32768}
_OLMOE = {"vocab": 50304, "hidden": 2048, "layers": 16, "heads": 16, "ffn": 2048, "positions": 4096}
_QWEN3 = {"vocab": 151936, "hidden": 2048, "layers": 24, "ffn": 6144, "positions": 32768, "kv_heads": 4}
_GPT_OSS = {
    "vocab": 201088, "hidden": 2880, "layers": 36, "heads": 64, "kv_heads": 8, "head_dim": 64, "ffn": 2880,
    "positions": 131072,
}  # fmt: skip


def expert_count(read: Reader, default: int) -> int:
    """How many routed experts: ``num_experts``, or under the name that a saved configuration has."""
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    return read.size(next((one for one in names if read.config.get(one) is not None), names[0]), default)


def plain_routing(read: Reader) -> None:
    """Refuse what adds tensors that the programs do not have: a router's loss, noise on what it reads."""
    if read.flag("output_router_logits", False):
        raise ModelError("the router's own loss has no program yet", f"{FIELD}.output_router_logits", [False])
    if read.config.get("router_jitter_noise") not in (None, 0, 0.0):
        raise ModelError("noise on the router's input has no program yet", f"{FIELD}.router_jitter_noise", [0.0])


def chosen_experts(read: Reader, experts: int, default: int) -> int:
    """``num_experts_per_tok``, at most as many as there are."""
    chosen = read.size("num_experts_per_tok", default)
    if chosen > experts:
        raise ModelError(
            f"num_experts_per_tok {chosen} is more than the {experts} experts", f"{FIELD}.num_experts_per_tok"
        )
    return chosen


def read_mixtral(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _MIXTRAL)
    experts = expert_count(read, 8)
    plain_routing(read)
    window = config.get("sliding_window")
    spec = MoeSpec(
        family="mixtral",
        **common,
        windows=() if window is None else (read.size("sliding_window"),) * common["layers"],
        experts=experts,
        chosen=chosen_experts(read, experts, 2),
        expert_ffn=common["ffn"],
    )
    return spec, read.assumptions


def dense_layers(read: Reader, layers: int) -> tuple[int, ...]:
    """The layers without experts: those that ``mlp_only_layers`` names, and all but every so many."""
    step = read.size("decoder_sparse_step", 1)
    named = read.config.get("mlp_only_layers") or []
    if not isinstance(named, list) or any(isinstance(one, bool) or not isinstance(one, int) for one in named):
        raise ModelError("mlp_only_layers must be a list of layer numbers", f"{FIELD}.mlp_only_layers")
    return tuple(i for i in range(layers) if i in named or (i + 1) % step)


def read_qwen2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _QWEN2)
    if read.flag("use_sliding_window", False):
        raise ModelError("sliding windows of Qwen2-MoE have no program yet", f"{FIELD}.use_sliding_window", [False])
    experts = expert_count(read, 60)
    plain_routing(read)
    spec = Qwen2MoeSpec(
        family="qwen2_moe",
        **common,
        qkv_bias=read.flag("qkv_bias", True),
        experts=experts,
        chosen=chosen_experts(read, experts, 4),
        expert_ffn=read.size("moe_intermediate_size", 1408),
        shared_ffn=read.size("shared_expert_intermediate_size", 5632),
        dense_layers=dense_layers(read, common["layers"]),
        normalise=read.flag("norm_topk_prob", False),
    )
    return spec, read.assumptions


def read_olmoe(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _OLMOE)
    if config.get("clip_qkv") is not None:
        raise ModelError("clipped projections of OLMoE have no program yet", f"{FIELD}.clip_qkv", [None])
    experts = expert_count(read, 64)
    plain_routing(read)
    biased = read.flag("attention_bias", False)
    spec = MoeSpec(
        family="olmoe",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        qk_norm=True,
        experts=experts,
        chosen=chosen_experts(read, experts, 8),
        expert_ffn=common["ffn"],
        normalise=read.flag("norm_topk_prob", False),
    )
    return spec, read.assumptions


def read_qwen3(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _QWEN3)
    if read.flag("use_sliding_window", False):
        raise ModelError("sliding windows of Qwen3-MoE have no program yet", f"{FIELD}.use_sliding_window", [False])
    experts = expert_count(read, 128)
    plain_routing(read)
    biased = read.flag("attention_bias", False)
    spec = MoeSpec(
        family="qwen3_moe",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        qk_norm=True,
        experts=experts,
        chosen=chosen_experts(read, experts, 8),
        expert_ffn=read.size("moe_intermediate_size", 768),
        dense_layers=dense_layers(read, common["layers"]),
        normalise=read.flag("norm_topk_prob", False),
    )
    return spec, read.assumptions


def read_gpt_oss(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _GPT_OSS)
    experts = expert_count(read, 128)
    plain_routing(read)
    biased = read.flag("attention_bias", True)
    spec = MoeSpec(
        family="gpt_oss",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        windows=layer_windows(read, common["layers"], 2, 128),
        eager_only=True,
        experts=experts,
        chosen=chosen_experts(read, experts, 4),
        expert_ffn=common["ffn"],
    )
    return spec, read.assumptions


FAMILIES = {
    "gpt_oss": Family(read_gpt_oss, "GptOssForCausalLM"),
    "mixtral": Family(read_mixtral, "MixtralForCausalLM"),
    "olmoe": Family(read_olmoe, "OlmoeForCausalLM"),
    "qwen2_moe": Family(read_qwen2, "Qwen2MoeForCausalLM"),
    "qwen3_moe": Family(read_qwen3, "Qwen3MoeForCausalLM"),
}
