"""Recurrent models trained and run, for ``record_traces.py``: small models of each family, traced through transformers'
own code without the kernels of other packages."""

from __future__ import annotations

from typing import Any

from tests.trace_cases_recurrent import MAMBA2, MODELS

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

RWKV: Config = {
    "architectures": ["RwkvForCausalLM"], "model_type": "rwkv", "vocab_size": 1999, "hidden_size": 96,
    "num_hidden_layers": 5, "context_length": 1024, "rescale_every": 2, "tie_word_embeddings": False,
}  # fmt: skip
Step = tuple[str, int, int, Config, Config]
"""Precision, batch, length, other fields of the scenario, its ``training``."""


def train(name: str, model: Config, steps: list[Step]) -> None:
    """Cases of training ``model``."""
    for precision, batch, length, more, training in steps:
        words = [*more.values(), *(str(one) for one in training.values() if not isinstance(one, dict))]
        CASES[" ".join([name, "train", precision, *words, f"b{batch} s{length}"])] = {
            "model": {"config": model}, "task": "train", "precision": precision, "batch": batch, "seq_len": length,
            **more, "training": training,
        }  # fmt: skip


def generate(name: str, model: Config, runs: list[Step]) -> None:
    """Cases of generation with ``model``, or of one forward pass."""
    for precision, batch, prompt, more, inference in runs:
        words = [*more.values(), *inference.values()]
        CASES[" ".join([name, "infer", precision, *words, f"b{batch} p{prompt} n9"])] = {
            "model": {"config": model}, "task": "infer", "precision": precision, "batch": batch, **more,
            "inference": {"prompt_tokens": prompt, "new_tokens": 9, **inference},
        }  # fmt: skip


RUNS: list[Step] = [
    ("bf16", 1, 60, {}, {}),
    ("bf16", 3, 37, {}, {"logits": "all"}),
    ("bf16", 2, 41, {"attention_mask": "padded"}, {}),
    ("fp32", 2, 40, {}, {}),
    ("fp16", 8, 2, {}, {}),
    ("bf16", 2, 50, {}, {"runtime": "forward"}),
]
LORA: Config = {"method": "lora", "optimizer": "adamw"}
RWKV_STEPS: list[Step] = [
    ("bf16", 2, 40, {}, {}),
    ("bf16", 16, 60, {}, {"optimizer": "sgd"}),
    ("bf16", 1, 4, {"attention_mask": "padded"}, {}),
    ("bf16", 8, 50, {}, {"checkpointing": "full"}),
    ("bf16", 8, 30, {}, {"checkpointing": "selective-ops", "optimizer": "sgd"}),
    ("bf16", 8, 30, {}, {"grad_accumulation": 2, "optimizer": "sgd-momentum"}),
    ("bf16", 8, 30, {}, LORA),
    ("bf16", 8, 30, {}, LORA | {"checkpointing": "full"}),
    ("bf16", 8, 30, {}, {"method": "lora", "lora": {"targets": "all-linear", "r": 4, "dropout": 0.1}}),
    ("bf16", 8, 30, {}, {"activation_offload": True, "optimizer": "sgd"}),
    ("bf16-mixed", 8, 40, {}, {}),
    ("fp16-mixed", 4, 40, {}, {"checkpointing": "full", "optimizer": "sgd"}),
    ("fp32", 8, 40, {}, {"optimizer": "adafactor"}),
    ("fp32", 8, 20, {}, LORA),
    ("fp16", 8, 40, {}, {}),
    ("bf16-master", 4, 40, {}, {}),
]
train("rwkv", RWKV, RWKV_STEPS)
train("rwkv-tied", RWKV | {"tie_word_embeddings": True, "intermediate_size": 160, "rescale_every": 0}, RWKV_STEPS[:2])
generate("rwkv", RWKV, RUNS)
generate("rwkv-tied", RWKV | {"tie_word_embeddings": True, "intermediate_size": 160, "rescale_every": 0}, RUNS[:3])

SSD_STEPS: list[Step] = [
    ("bf16", 2, 150, {}, {}),
    ("bf16", 1, 700, {}, {}),
    ("bf16", 1, 32, {}, {}),
    ("bf16", 2, 96, {}, {"optimizer": "sgd"}),
    ("bf16", 3, 40, {"attention_mask": "padded"}, {}),
    ("bf16", 2, 512, {}, {"checkpointing": "full"}),
    ("bf16", 2, 140, {}, {"checkpointing": "selective-ops"}),
    ("bf16", 2, 140, {}, {"grad_accumulation": 2, "optimizer": "sgd"}),
    ("bf16", 2, 140, {}, {"method": "lora", "lora": {"targets": ["in_proj"]}}),
    ("bf16", 2, 140, {}, {"method": "lora", "lora": {"targets": ["in_proj"], "r": 4}, "checkpointing": "full"}),
    ("bf16", 2, 140, {}, {"activation_offload": True}),
    ("bf16-mixed", 2, 400, {}, {}),
    ("bf16-mixed", 1, 150, {}, {"checkpointing": "full"}),
    ("fp16-mixed", 1, 64, {}, {}),
    ("fp32", 2, 128, {}, {}),
    ("fp32", 1, 450, {}, {"checkpointing": "full"}),
    ("fp32", 3, 30, {}, {}),
    ("fp16", 3, 64, {}, {}),
    ("bf16-master", 2, 100, {}, {}),
]
train("mamba2", MAMBA2, SSD_STEPS)
OWN_ADAPTERS: list[Step] = [
    ("bf16", 2, 140, {}, {"method": "lora", "lora": {"targets": ["in_proj", "q_proj", "down_proj"], "r": 4}}),
    ("bf16", 2, 140, {"attention": "eager"}, {}),
]
H1 = MODELS["falcon-h1"]
H1_STEPS = [one for one in SSD_STEPS if "lora" not in one[4]] + OWN_ADAPTERS
train("falcon-h1", H1, H1_STEPS)
train("falcon-h1-norm", MODELS["falcon-h1-norm"], H1_STEPS[:4])
train("falcon-h1-groups", MODELS["falcon-h1-groups"], H1_STEPS[:3])
train("mamba2-biases", MODELS["mamba2-biases"], SSD_STEPS[:4])

BAMBA: Config = {
    "architectures": ["BambaForCausalLM"], "model_type": "bamba", "vocab_size": 1999, "hidden_size": 96,
    "intermediate_size": 160, "num_hidden_layers": 11, "attn_layer_indices": [3, 8], "num_attention_heads": 6,
    "num_key_value_heads": 2, "mamba_n_heads": 12, "mamba_n_groups": 2, "mamba_d_state": 24, "mamba_chunk_size": 32,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
GRANITE4: Config = {
    "architectures": ["GraniteMoeHybridForCausalLM"], "model_type": "granitemoehybrid", "vocab_size": 1999,
    "hidden_size": 96, "intermediate_size": 64, "shared_intermediate_size": 80, "num_hidden_layers": 9,
    "layer_types": ["linear_attention"] * 4 + ["full_attention"] + ["linear_attention"] * 4,
    "num_attention_heads": 6, "num_key_value_heads": 2, "num_local_experts": 8, "num_experts_per_tok": 2,
    "mamba_n_heads": 12, "mamba_n_groups": 1, "mamba_d_state": 24, "mamba_chunk_size": 32,
    "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip
HYBRID_STEPS = [one for one in SSD_STEPS if "lora" not in one[4].values()] + [
    ("bf16", 2, 140, {}, {"method": "lora", "lora": {"targets": ["in_proj", "out_proj", "q_proj"], "r": 4}}),
    ("bf16", 2, 140, {}, {"method": "lora", "lora": {"targets": ["in_proj", "o_proj"]}, "checkpointing": "full"}),
    ("bf16", 2, 140, {"attention": "eager"}, {}),
]
train("bamba", BAMBA, HYBRID_STEPS)
generate("bamba", BAMBA, RUNS)
BIASED = BAMBA | {"attention_bias": True, "mlp_bias": True, "mamba_proj_bias": True, "mamba_conv_bias": False}
train("bamba-biases", BIASED | {"attn_layer_indices": None, "num_hidden_layers": 5}, HYBRID_STEPS[:3])
generate("bamba-biases", BIASED | {"mamba_n_groups": 12, "tie_word_embeddings": True}, RUNS[:3])
train("granite4", GRANITE4, [one for one in HYBRID_STEPS if one[0] == "bf16"])
generate("granite4", GRANITE4, [one for one in RUNS if one[0] == "bf16"])
DENSE = GRANITE4 | {"num_local_experts": 0, "position_embedding_type": "rope", "tie_word_embeddings": False}
train("granite4-dense", DENSE, HYBRID_STEPS[8:])
generate("granite4-dense", DENSE, RUNS)

SELECTIVE_STEPS: list[Step] = [
    ("bf16", 2, 30, {}, {}),
    ("bf16", 1, 45, {}, {"optimizer": "sgd"}),
    ("bf16", 1, 4, {}, {}),
    ("bf16", 3, 20, {"attention_mask": "padded"}, {}),
    ("bf16", 2, 30, {}, {"checkpointing": "full"}),
    ("bf16", 2, 20, {}, {"checkpointing": "selective-ops"}),
    ("bf16", 2, 20, {}, {"grad_accumulation": 2, "optimizer": "sgd"}),
    ("bf16", 2, 20, {}, {"method": "lora", "lora": {"targets": ["in_proj", "x_proj"], "r": 4}}),
    ("bf16", 2, 20, {}, {"activation_offload": True}),
    ("bf16-mixed", 2, 30, {}, {}),
    ("fp16-mixed", 1, 30, {}, {"checkpointing": "full"}),
    ("fp32", 2, 30, {}, {}),
    ("fp16", 3, 20, {}, {}),
    ("bf16-master", 2, 20, {}, {}),
]
"""Every token costs the tracer as much time as a layer of another model: short sequences."""
train("mamba", MODELS["mamba"], SELECTIVE_STEPS)
train("mamba-biases", MODELS["mamba-biases"], SELECTIVE_STEPS[:3])
train("falcon-mamba", MODELS["falcon-mamba"], SELECTIVE_STEPS)
train("jamba", MODELS["jamba"], [one for one in SELECTIVE_STEPS if one[0] == "bf16"])
train("jamba-dense", MODELS["jamba-dense"], SELECTIVE_STEPS[:5] + SELECTIVE_STEPS[9:])

LFM2: Config = {
    "architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "vocab_size": 1999, "hidden_size": 96,
    "intermediate_size": 200, "block_multiple_of": 16, "num_hidden_layers": 9, "num_attention_heads": 6,
    "num_key_value_heads": 2, "full_attn_idxs": [2, 5, 8], "conv_L_cache": 3, "max_position_embeddings": 4096,
}  # fmt: skip
NEMOTRON_H: Config = {
    "architectures": ["NemotronHForCausalLM"], "model_type": "nemotron_h", "vocab_size": 1999, "hidden_size": 96,
    "intermediate_size": 160, "hybrid_override_pattern": "M-M-M*-M-M*-M-", "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 32, "mamba_num_heads": 12, "mamba_head_dim": 16, "n_groups": 3,
    "ssm_state_size": 24, "chunk_size": 32, "max_position_embeddings": 4096,
}  # fmt: skip
PLAIN_STEPS = [one for one in HYBRID_STEPS if "lora" not in one[4].values()]
train("lfm2", LFM2, [*PLAIN_STEPS, ("bf16", 2, 140, {}, {"method": "lora", "lora": {"targets": "all-linear"}})])
generate("lfm2", LFM2, RUNS)
OWN_FFN = LFM2 | {"block_auto_adjust_ff_dim": False, "conv_bias": True, "tie_embedding": False, "conv_L_cache": 4}
train("lfm2-biases", OWN_FFN, PLAIN_STEPS[:3])
generate("lfm2-biases", OWN_FFN, RUNS[:3])
train("nemotron-h", NEMOTRON_H, [*PLAIN_STEPS, ("bf16", 2, 140, {}, LORA)])
generate("nemotron-h", NEMOTRON_H, RUNS)

ZAMBA2: Config = {
    "architectures": ["Zamba2ForCausalLM"], "model_type": "zamba2", "vocab_size": 1999, "hidden_size": 96,
    "intermediate_size": 160, "layers_block_type": ["linear_attention", "hybrid"] * 4 + ["linear_attention"],
    "num_attention_heads": 6, "n_mamba_heads": 12, "mamba_ngroups": 2, "mamba_d_state": 24, "chunk_size": 32,
    "num_mem_blocks": 2, "adapter_rank": 8, "use_mem_rope": True, "use_shared_attention_adapter": True,
    "num_hidden_layers": 9, "max_position_embeddings": 4096,
}  # fmt: skip
ZAMBA2_STEPS = [one for one in PLAIN_STEPS if "checkpointing" not in one[4]]
train("zamba2", ZAMBA2, ZAMBA2_STEPS)
generate("zamba2", ZAMBA2, RUNS)
LONE = ZAMBA2 | {
    "num_mem_blocks": 1, "use_mem_rope": False, "use_shared_attention_adapter": False, "add_bias_linear": True,
}  # fmt: skip
train("zamba2-lone", LONE, ZAMBA2_STEPS[:3])
generate("zamba2-lone", LONE, RUNS[:3])
