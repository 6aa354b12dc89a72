"""Random small configurations of mixtures of experts, for ``fuzz_traces.py``: odd numbers of experts, dense layers,
shared experts, grouped routing. Only in bf16: torch has no fake grouped product for other formats."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz_families import Config, coin, common, named


def _experts(rng: random.Random) -> tuple[int, int, int]:
    """Experts, how many of them a token chooses, their width."""
    count = rng.choice((2, 4, 8, 12, 16))
    return count, rng.choice([n for n in (1, 2, 3, 4) if n <= count]), rng.choice((32, 64, 96, 160))


def mixtral(rng: random.Random) -> Config:
    count, chosen, width = _experts(rng)
    return named("MixtralForCausalLM", "mixtral", common(rng) | {
        "num_local_experts": count, "num_experts_per_tok": chosen, "intermediate_size": width,
        "sliding_window": rng.choice((None, 64)),
    })  # fmt: skip


def olmoe(rng: random.Random) -> Config:
    count, chosen, width = _experts(rng)
    return named("OlmoeForCausalLM", "olmoe", common(rng) | {
        "num_experts": count, "num_experts_per_tok": chosen, "intermediate_size": width, "norm_topk_prob": coin(rng),
        "attention_bias": coin(rng),
    })  # fmt: skip


def qwen2_moe(rng: random.Random) -> Config:
    count, chosen, width = _experts(rng)
    return named("Qwen2MoeForCausalLM", "qwen2_moe", common(rng) | {
        "num_experts": count, "num_experts_per_tok": chosen, "moe_intermediate_size": width,
        "norm_topk_prob": coin(rng), "shared_expert_intermediate_size": rng.choice((64, 96)), "qkv_bias": coin(rng),
        "decoder_sparse_step": rng.choice((1, 1, 2)), "mlp_only_layers": rng.choice(([], [0])),
    })  # fmt: skip


def qwen3_moe(rng: random.Random) -> Config:
    config = qwen2_moe(rng) | {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "head_dim": 32}
    return {k: v for k, v in config.items() if k not in ("qkv_bias", "shared_expert_intermediate_size")}


def gpt_oss(rng: random.Random) -> Config:
    count, chosen, width = _experts(rng)
    return named("GptOssForCausalLM", "gpt_oss", common(rng) | {
        "num_local_experts": count, "num_experts_per_tok": chosen, "intermediate_size": width, "head_dim": 32,
        "sliding_window": rng.choice((16, 64)),
    })  # fmt: skip


def deepseek_v2(rng: random.Random) -> Config:
    count, chosen, width = _experts(rng)
    config = common(rng)
    return named("DeepseekV2ForCausalLM", "deepseek_v2", config | {
        "num_key_value_heads": config["num_attention_heads"], "n_routed_experts": count, "num_experts_per_tok": chosen,
        "moe_intermediate_size": width, "n_shared_experts": rng.choice((1, 2)), "kv_lora_rank": rng.choice((16, 64)),
        "q_lora_rank": rng.choice((None, 48)), "qk_nope_head_dim": rng.choice((16, 32)),
        "qk_rope_head_dim": rng.choice((8, 16)), "v_head_dim": rng.choice((16, 32)), "topk_method": "greedy",
        "first_k_dense_replace": rng.choice((0, 1)), "n_group": 1, "topk_group": 1,
    })  # fmt: skip


def deepseek_v3(rng: random.Random) -> Config:
    return deepseek_v2(rng) | {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "n_routed_experts": 8, "n_group": 4,
        "topk_group": 2, "num_experts_per_tok": rng.choice((1, 2, 3)), "norm_topk_prob": coin(rng),
        "rope_interleave": coin(rng),
    }  # fmt: skip


EXPERTS: dict[str, Callable[[random.Random], Config]] = {
    one.__name__: one for one in (mixtral, olmoe, qwen2_moe, qwen3_moe, gpt_oss, deepseek_v2, deepseek_v3)
}
