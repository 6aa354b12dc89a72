"""Mixtures of experts for ``record_traces.py``: small models of each family, in bf16 (torch has no fake grouped product
for other formats)."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

MIXTRAL: Config = {
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 688, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2,
    "num_local_experts": 8, "num_experts_per_tok": 2, "max_position_embeddings": 4096, "sliding_window": None,
    "tie_word_embeddings": False,
}  # fmt: skip
QWEN3_MOE: Config = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 688, "moe_intermediate_size": 160, "num_hidden_layers": 6, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 32, "num_experts": 16, "num_experts_per_tok": 4, "norm_topk_prob": True,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
DEEPSEEK_V2: Config = {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 688, "moe_intermediate_size": 160, "num_hidden_layers": 5, "num_attention_heads": 8,
    "num_key_value_heads": 8, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 2,
    "kv_lora_rank": 64, "q_lora_rank": None, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
    "first_k_dense_replace": 1, "topk_method": "greedy", "n_group": 1, "topk_group": 1,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
DEEPSEEK_V3 = DEEPSEEK_V2 | {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "n_group": 4, "topk_group": 2,
    "n_shared_experts": 1, "q_lora_rank": 48, "norm_topk_prob": True, "num_experts_per_tok": 3,
}  # fmt: skip
GPT_OSS: Config = {
    "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 160, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2,
    "head_dim": 32, "num_local_experts": 8, "num_experts_per_tok": 2, "max_position_embeddings": 4096,
    "sliding_window": 64, "tie_word_embeddings": False,
}  # fmt: skip
QWEN2_MOE = {k: v for k, v in QWEN3_MOE.items() if k != "head_dim"} | {
    "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "shared_expert_intermediate_size": 320,
    "norm_topk_prob": False,
}  # fmt: skip
OLMOE: Config = {
    "architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 160, "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 8,
    "num_experts": 16, "num_experts_per_tok": 4, "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
GLM4_MOE: Config = {
    "architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 688, "moe_intermediate_size": 160, "num_hidden_layers": 5, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 48, "n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 1,
    "first_k_dense_replace": 1, "attention_bias": True, "use_qk_norm": True, "max_position_embeddings": 4096,
}  # fmt: skip
MINIMAX_M2: Config = {
    "architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 160, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "head_dim": 32, "num_local_experts": 8, "num_experts_per_tok": 2, "rotary_dim": 16,
    "max_position_embeddings": 4096,
}  # fmt: skip
GRANITE_MOE: Config = {
    "architectures": ["GraniteMoeForCausalLM"], "model_type": "granitemoe", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 160, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "num_local_experts": 8, "num_experts_per_tok": 2, "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip
MODELS = {
    "glm4-moe": GLM4_MOE,
    "minimax-m2": MINIMAX_M2,
    "granitemoe": GRANITE_MOE,
    "granitemoe-shared": GRANITE_MOE | {
        "architectures": ["GraniteMoeSharedForCausalLM"], "model_type": "granitemoeshared",
        "shared_intermediate_size": 320,
    },
    "olmoe": OLMOE,
    "qwen2-moe": QWEN2_MOE,
    "qwen2-moe-dense": QWEN2_MOE | {"qkv_bias": False, "decoder_sparse_step": 2, "mlp_only_layers": [0]},
    "gpt-oss": GPT_OSS,
    "mixtral": MIXTRAL,
    "mixtral-window": MIXTRAL | {"sliding_window": 100},
    "qwen3-moe": QWEN3_MOE,
    "qwen3-moe-dense": QWEN3_MOE | {"norm_topk_prob": False, "decoder_sparse_step": 2, "mlp_only_layers": [0]},
    "deepseek-v2": DEEPSEEK_V2,
    "deepseek-v2-q": DEEPSEEK_V2 | {"q_lora_rank": 48},
    "deepseek-v2-groups": DEEPSEEK_V2 | {
        "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "q_lora_rank": 48,
        "num_experts_per_tok": 3,
    },
    "deepseek-v3": DEEPSEEK_V3,
    "deepseek-v3-half": DEEPSEEK_V3 | {"rope_interleave": False, "norm_topk_prob": False, "q_lora_rank": None},
}  # fmt: skip
TRAINING: dict[str, dict[str, Any]] = {
    "adamw": {},
    "sgd": {"optimizer": "sgd"},
    "sgd ckpt": {"optimizer": "sgd", "checkpointing": "full"},
    "adafactor": {"optimizer": "adafactor"},
    "lora": {"method": "lora", "lora": {"targets": ["o_proj"], "dropout": 0.1}},
    "lora ckpt": {"method": "lora", "lora": {"targets": ["o_proj"]}, "checkpointing": "full"},
    "accumulation": {"grad_accumulation": 2, "optimizer": "sgd"},
}

for _name, _config in MODELS.items():
    for _batch, _length in ((1, 130), (3, 77)):
        for _what, _training in TRAINING.items():
            CASES[f"{_name} train bf16 {_what} b{_batch} s{_length}"] = {
                "model": {"config": _config}, "task": "train", "batch": _batch, "seq_len": _length,
                "training": _training,
            }  # fmt: skip
        for _attention in ("sdpa", "eager"):
            CASES[f"{_name} infer bf16 {_attention} b{_batch} p{_length} n9"] = {
                "model": {"config": _config}, "task": "infer", "batch": _batch, "attention": _attention,
                "inference": {"prompt_tokens": _length, "new_tokens": 9},
            }  # fmt: skip

# Adapters on experts and routers: PEFT adapts their parameters under the names of version 4's linear layers.
ADAPTED: dict[str, dict[str, Any]] = {
    "all": {"lora": {"r": 8, "targets": "all-linear"}},
    "all ckpt": {"lora": {"r": 4, "targets": "all-linear"}, "checkpointing": "full"},
    "all bf16 accumulation": {"lora": {"r": 8, "targets": "all-linear", "dtype": "bf16"}, "grad_accumulation": 2},
    "all selective-ops": {"lora": {"r": 8, "targets": "all-linear"}, "checkpointing": "selective-ops"},
}
_SOME = {"mixtral": ["q_proj", "w1", "w3"], "qwen3-moe": ["down_proj", "v_proj"], "olmoe": ["gate", "o_proj"]}
_ALL = (
    "mixtral", "qwen2-moe", "qwen3-moe-dense", "olmoe", "gpt-oss", "deepseek-v2", "deepseek-v3", "glm4-moe",
    "minimax-m2", "granitemoe", "granitemoe-shared",
)  # fmt: skip
for _name in _ALL:
    for _what, _training in ADAPTED.items():
        CASES[f"{_name} adapted {_what} b2 s130"] = {
            "model": {"config": MODELS[_name]}, "task": "train", "batch": 2, "seq_len": 130,
            "training": {"method": "lora", **_training},
        }  # fmt: skip
for _name, _targets in _SOME.items():
    CASES[f"{_name} adapted {' '.join(_targets)} b2 s130"] = {
        "model": {"config": MODELS[_name]}, "task": "train", "batch": 2, "seq_len": 130,
        "training": {"method": "lora", "lora": {"r": 8, "targets": _targets}},
    }  # fmt: skip

# One key head for all queries is copied where it is folded into the batch.
for _what, _training in (("ckpt", {"checkpointing": "full"}), ("sgd", {"optimizer": "sgd"})):
    CASES[f"gpt-oss-kv1 train bf16 {_what} b4 s257"] = {
        "model": {"config": GPT_OSS | {"num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": 101}},
        "task": "train", "batch": 4, "seq_len": 257, "training": _training,
    }  # fmt: skip
CASES["gpt-oss-kv1 infer bf16 b3 p130 n9"] = {
    "model": {"config": GPT_OSS | {"num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": 101}},
    "task": "infer",
    "batch": 3,
    "inference": {"prompt_tokens": 130, "new_tokens": 9},
}
