"""State-space and hybrid models for ``record_traces.py``: small models of each family, traced through transformers' own
code without the kernels of other packages."""

from __future__ import annotations

from typing import Any

from tests.trace_cases_experts import ADAPTED

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

MAMBA: Config = {
    "architectures": ["MambaForCausalLM"], "model_type": "mamba", "vocab_size": 1999, "hidden_size": 256,
    "state_size": 16, "num_hidden_layers": 5, "time_step_rank": 16, "expand": 2, "conv_kernel": 4,
    "tie_word_embeddings": True,
}  # fmt: skip
MAMBA2: Config = {
    "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "vocab_size": 1999, "hidden_size": 96,
    "state_size": 24, "num_hidden_layers": 5, "num_heads": 12, "head_dim": 16, "n_groups": 3, "expand": 2,
    "conv_kernel": 4, "chunk_size": 32, "time_step_rank": 6, "tie_word_embeddings": False,
}  # fmt: skip
JAMBA: Config = {
    "architectures": ["JambaForCausalLM"], "model_type": "jamba", "vocab_size": 1999, "hidden_size": 128,
    "intermediate_size": 160, "num_hidden_layers": 13, "num_attention_heads": 8, "num_key_value_heads": 2,
    "num_experts": 8, "num_experts_per_tok": 2, "attn_layer_period": 4, "attn_layer_offset": 2,
    "expert_layer_period": 2, "expert_layer_offset": 1, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2,
    "mamba_dt_rank": 8, "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
QWEN3_NEXT: Config = {
    "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "vocab_size": 1999, "hidden_size": 96,
    "intermediate_size": 160, "num_hidden_layers": 13, "full_attention_interval": 4, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 32, "partial_rotary_factor": 0.25, "linear_num_key_heads": 3,
    "linear_num_value_heads": 6, "linear_key_head_dim": 16, "linear_value_head_dim": 24, "linear_conv_kernel_dim": 4,
    "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "shared_expert_intermediate_size": 40,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
FALCON_H1: Config = {
    "architectures": ["FalconH1ForCausalLM"], "model_type": "falcon_h1", "vocab_size": 1999, "hidden_size": 96,
    "intermediate_size": 160, "num_hidden_layers": 5, "num_attention_heads": 6, "num_key_value_heads": 2,
    "head_dim": 16, "mamba_d_ssm": 192, "mamba_n_heads": 12, "mamba_d_head": 16, "mamba_n_groups": 2,
    "mamba_d_state": 24, "mamba_d_conv": 4, "mamba_chunk_size": 32, "mamba_rms_norm": False,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
MODELS = {
    "mamba": MAMBA,
    "mamba-biases": MAMBA | {
        "use_bias": True, "use_conv_bias": False, "residual_in_fp32": False, "tie_word_embeddings": False,
        "state_size": 8, "conv_kernel": 3, "expand": 3, "time_step_rank": "auto",
    },
    "falcon-mamba": MAMBA | {
        "architectures": ["FalconMambaForCausalLM"], "model_type": "falcon_mamba", "tie_word_embeddings": False,
    },
    "mamba2": MAMBA2,
    "mamba2-biases": MAMBA2 | {
        "n_groups": 12, "use_bias": True, "use_conv_bias": False, "residual_in_fp32": False, "chunk_size": 20,
    },
    "jamba": JAMBA,
    "jamba-dense": JAMBA | {
        "num_experts": 1, "num_experts_per_tok": 1, "num_hidden_layers": 6, "attn_layer_period": 3,
        "mamba_proj_bias": True, "mamba_conv_bias": False, "tie_word_embeddings": True, "mamba_dt_rank": "auto",
    },
    "falcon-h1": FALCON_H1,
    "falcon-h1-norm": FALCON_H1 | {
        "mamba_rms_norm": True, "mamba_norm_before_gate": False, "mamba_n_groups": 1, "mamba_proj_bias": True,
        "projectors_bias": True, "attention_bias": True, "mlp_bias": True, "mamba_d_ssm": None, "mamba_d_head": "auto",
    },
    "falcon-h1-groups": FALCON_H1 | {
        "mamba_rms_norm": True, "mamba_n_groups": 12, "mamba_conv_bias": False, "tie_word_embeddings": True,
    },
    "qwen3-next": QWEN3_NEXT,
    "qwen3-next-dense": QWEN3_NEXT | {
        "mlp_only_layers": list(range(6)), "num_hidden_layers": 6, "layer_types": ["linear_attention"] * 3
        + ["full_attention", "linear_attention", "full_attention"], "linear_num_value_heads": 3,
        "tie_word_embeddings": True, "attention_bias": True,
    },
}  # fmt: skip
EXPERTS = ("jamba", "qwen3-next")
"""Models with experts: torch has no fake grouped product for formats but bf16."""
RUNS: list[tuple[str, int, int, Config, Config]] = [
    ("bf16", 1, 60, {}, {}),
    ("bf16", 3, 37, {}, {"logits": "all"}),
    ("bf16", 2, 41, {"attention_mask": "padded"}, {}),
    ("fp32", 2, 40, {}, {}),
    ("fp16", 8, 5, {}, {}),
    ("bf16", 2, 50, {}, {"runtime": "forward"}),
    ("bf16", 2, 23, {"attention": "eager"}, {}),
]

TRAINED = ("qwen3-next", "qwen3-next-dense")
"""Models whose scan was followed through backward."""
LORA: Config = {"method": "lora", "lora": {"targets": ["q_proj", "in_proj_qkvz", "in_proj_ba", "out_proj"]}}
STEPS: list[tuple[str, int, int, Config, Config]] = [
    ("bf16", 2, 150, {}, {}),
    ("bf16", 1, 700, {}, {}),
    ("bf16", 3, 40, {"attention_mask": "padded"}, {}),
    ("bf16", 2, 130, {"attention": "eager"}, {}),
    ("bf16", 2, 512, {}, {"checkpointing": "full"}),
    ("bf16", 2, 140, {}, {"checkpointing": "selective-ops"}),
    ("bf16", 2, 140, {}, {"grad_accumulation": 2, "optimizer": "sgd"}),
    ("bf16", 2, 140, {}, LORA),
    ("bf16", 2, 140, {}, LORA | {"checkpointing": "full"}),
    ("bf16", 2, 140, {}, {"activation_offload": True}),
    ("bf16-mixed", 2, 400, {}, {}),
    ("bf16-mixed", 2, 150, {}, {"checkpointing": "full"}),
    ("fp16-mixed", 1, 64, {}, {}),
    ("fp32", 2, 128, {}, {}),
    ("fp32", 2, 450, {}, {"checkpointing": "full"}),
    ("fp32", 3, 50, {}, LORA),
    ("fp16", 3, 64, {}, {}),
    ("bf16-master", 2, 100, {}, {}),
]

for _name in TRAINED:
    for _precision, _batch, _length, _more, _training in STEPS:
        if _precision != "bf16" and _name in EXPERTS:
            continue
        _words = [*_more.values(), *(str(one) for one in _training.values() if not isinstance(one, dict))]
        CASES[" ".join([_name, "train", _precision, *_words, f"b{_batch} s{_length}"])] = {
            "model": {"config": MODELS[_name]}, "task": "train", "precision": _precision, "batch": _batch,
            "seq_len": _length, **_more, "training": _training,
        }  # fmt: skip
for _name, _model in MODELS.items():
    for _precision, _batch, _prompt, _more, _inference in RUNS:
        if _precision != "bf16" and _name in EXPERTS:
            continue
        _words = [*_more.values(), *_inference.values()]
        CASES[" ".join([_name, "infer", _precision, *_words, f"b{_batch} p{_prompt} n9"])] = {
            "model": {"config": _model}, "task": "infer", "precision": _precision, "batch": _batch, **_more,
            "inference": {"prompt_tokens": _prompt, "new_tokens": 9, **_inference},
        }  # fmt: skip

# PEFT's all-linear reaches routers and experts as well.
for _what, _training in ADAPTED.items():
    CASES[f"qwen3-next adapted {_what} b2 s130"] = {
        "model": {"config": QWEN3_NEXT}, "task": "train", "batch": 2, "seq_len": 130,
        "training": {"method": "lora", **_training},
    }  # fmt: skip
