"""Reads DeepSeek configurations (transformers 5.23 models/deepseek_v2/configuration_deepseek_v2.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.latent import LatentSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, shown
from memcalc.models.readers.moe import chosen_experts, expert_count, plain_routing

ROUTING = ("greedy", "group_limited_greedy")

_V2 = {
    "vocab": 32000, "hidden": 4096, "ffn": 11008, "layers": 32, "heads": 32, "positions": 2048, "experts": 64,
    "chosen": 0, "shared": 2, "expert_ffn": 1407, "query_rank": 1536, "kv_rank": 512,
}  # fmt: skip

_V3 = {
    "vocab": 129280, "hidden": 7168, "ffn": 18432, "layers": 61, "heads": 128, "positions": 4096, "experts": 256,
    "chosen": 8, "shared": 1, "expert_ffn": 2048, "query_rank": 1536, "kv_rank": 512,
}  # fmt: skip


def latent_fields(read: Reader, defaults: Mapping[str, int]) -> dict[str, Any]:
    """The fields of a LatentSpec that V2 and V3 have in common."""
    config = read.config
    plain_routing(read)
    heads = read.size("num_attention_heads", defaults["heads"])
    layers = read.size("num_hidden_layers", defaults["layers"])
    plain, rotary = read.size("qk_nope_head_dim", 128), read.size("qk_rope_head_dim", 64)
    if rotary % 2:
        raise ModelError(f"rotary positions need an even qk_rope_head_dim, not {rotary}", f"{FIELD}.qk_rope_head_dim")
    experts = expert_count(read, defaults["experts"])
    width = read.size("moe_intermediate_size", defaults["expert_ffn"])
    direct = "q_lora_rank" in config and config["q_lora_rank"] is None
    biased = read.flag("attention_bias", False)
    return {
        "vocab": read.size("vocab_size", defaults["vocab"]),
        "hidden": read.size("hidden_size", defaults["hidden"]),
        "layers": layers,
        "heads": heads,
        "kv_heads": heads,
        "head_dim": plain + rotary,
        "ffn": read.size("intermediate_size", defaults["ffn"]),
        "max_positions": read.size("max_position_embeddings", defaults["positions"]),
        "activation": read.activation("hidden_act", "silu"),
        "tied": read.flag("tie_word_embeddings", False),
        "attention_dropout": read.probability("attention_dropout", 0.0),
        "qkv_bias": biased,
        "output_bias": biased,
        "mlp_bias": read.flag("mlp_bias", False),
        "experts": experts,
        "chosen": chosen_experts(read, experts, defaults["chosen"] or experts),
        "expert_ffn": width,
        "dense_layers": first_dense(read, layers, 0),
        "query_rank": 0 if direct else read.size("q_lora_rank", defaults["query_rank"]),
        "kv_rank": read.size("kv_lora_rank", defaults["kv_rank"]),
        "plain_dim": plain,
        "rotary_dim": rotary,
        "value_dim": read.size("v_head_dim", 128),
        "shared_ffn": width * read.size("n_shared_experts", defaults["shared"]),
    }


def first_dense(read: Reader, layers: int, default: int) -> tuple[int, ...]:
    """The first layers, which have no experts: ``first_k_dense_replace`` of them."""
    dense = read.config.get("first_k_dense_replace", default)
    if isinstance(dense, bool) or not isinstance(dense, int) or not 0 <= dense <= layers:
        raise ModelError("first_k_dense_replace must be a number of layers", f"{FIELD}.first_k_dense_replace")
    return tuple(range(dense))


def groups(read: Reader, experts: int, default: int = 8, chosen_default: int = 4) -> dict[str, Any]:
    """``n_group`` and ``topk_group``: in how many groups the experts lie, and in how many of them they are chosen."""
    count, chosen = read.size("n_group", default), read.size("topk_group", chosen_default)
    if experts % count or chosen > count:
        raise ModelError(f"{experts} experts cannot be chosen in {count} groups", f"{FIELD}.n_group")
    return {"groups": count, "chosen_groups": chosen}


def read_v2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = latent_fields(read, _V2)
    method = config.get("topk_method", ROUTING[0])
    if method not in ROUTING:
        raise ModelError(f"no program for the routing {shown(method)}", f"{FIELD}.topk_method", ROUTING)
    if method == ROUTING[0]:
        return LatentSpec(family="deepseek_v2", **common), read.assumptions
    for name in ("n_group", "topk_group"):
        if config.get(name) is None:
            raise ModelError(f"{method} routing needs {name}", f"{FIELD}.{name}")
    spec = LatentSpec(family="deepseek_v2", **common, grouped=True, **groups(read, common["experts"]))
    return spec, read.assumptions


def read_v3(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = latent_fields(read, _V3)
    spec = LatentSpec(
        family="deepseek_v3",
        **common,
        normalise=read.flag("norm_topk_prob", True),
        interleaved=read.flag("rope_interleave", True),
        grouped=True,
        **groups(read, common["experts"]),
    )
    return spec, read.assumptions


def read_kimi_k2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    """Kimi K2 comes with a copy of DeepSeek-V3's code, which is not run; transformers' own has the same shapes."""
    spec, assumptions = read_v3(config)
    return spec, [*assumptions, "kimi_k2 is described as transformers runs deepseek_v3, whose layers it has"]


FAMILIES = {
    "deepseek_v2": Family(read_v2, "DeepseekV2ForCausalLM"),
    "deepseek_v3": Family(read_v3, "DeepseekV3ForCausalLM"),
    "kimi_k2": Family(read_kimi_k2, "DeepseekV3ForCausalLM"),
}
