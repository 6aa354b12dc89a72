"""Decoders with a structure of their own for ``record_traces.py``: Llama 4 (text)."""

from __future__ import annotations

from typing import Any

from tests.trace_cases_variants import Config, config_of

CASES: dict[str, dict[str, Any]] = {}

_LLAMA4 = config_of(
    "Llama4ForCausalLM", "llama4_text", head_dim=32, intermediate_size=160, intermediate_size_mlp=320,
    num_local_experts=4, attention_chunk_size=64,
)  # fmt: skip
_GEMMA3N = config_of(
    "Gemma3nForCausalLM", "gemma3n_text", head_dim=32, num_hidden_layers=10, num_kv_shared_layers=5, sliding_window=64,
    vocab_size_per_layer_input=1900, hidden_size_per_layer_input=32, laurel_rank=16, tie_word_embeddings=True,
    activation_sparsity_pattern=[0.95] * 3 + [0.0] * 7,
)  # fmt: skip
MODELS = {
    "gemma3n": _GEMMA3N,
    "llama4": _LLAMA4,
    "llama4-interleaved": _LLAMA4 | {
        "interleave_moe_layer_step": 2, "use_qk_norm": False, "attention_chunk_size": 256, "num_hidden_layers": 8,
    },
}  # fmt: skip
_LORA: Config = {"method": "lora", "lora": {"r": 8, "targets": ["q_proj", "o_proj"], "dropout": 0.1}}
TRAINING: list[tuple[str, str, int, int, Config, Config]] = [
    ("bf16", "adamw", 2, 150, {}, {}),
    ("fp32", "ckpt", 2, 150, {"checkpointing": "full"}, {}),
    ("bf16-mixed", "adamw", 2, 150, {}, {}),
    ("bf16-mixed", "lora ckpt", 3, 77, {"checkpointing": "full", **_LORA}, {}),
    ("bf16", "lora eager", 2, 150, _LORA, {"attention": "eager"}),
    ("bf16", "sgd accumulation padded", 2, 150, {"optimizer": "sgd", "grad_accumulation": 2},
     {"attention_mask": "padded"}),
    ("fp16-mixed", "eager adafactor", 1, 300, {"optimizer": "adafactor"}, {"attention": "eager"}),
    ("bf16", "sgd ckpt", 1, 300, {"optimizer": "sgd", "checkpointing": "full"}, {}),
    ("fp16-mixed", "selective-ops", 2, 150, {"checkpointing": "selective-ops"}, {}),
]  # fmt: skip
INFERENCE = (
    ("bf16", "sdpa", "last", 2, 150),
    ("fp32", "sdpa", "all", 2, 150),
    ("bf16", "eager", "last", 2, 150),
    ("fp16", "sdpa", "last", 1, 400),
)

for _name, _model in MODELS.items():
    for _precision, _what, _batch, _length, _training, _more in TRAINING:
        CASES[f"{_name} train {_precision} {_what} b{_batch} s{_length}"] = {
            "model": {"config": _model}, "task": "train", "precision": _precision, "batch": _batch,
            "seq_len": _length, "training": _training, **_more,
        }  # fmt: skip
    for _precision, _attention, _logits, _batch, _length in INFERENCE:
        CASES[f"{_name} infer {_precision} {_attention} {_logits} b{_batch} p{_length} n9"] = {
            "model": {"config": _model}, "task": "infer", "precision": _precision, "batch": _batch,
            "attention": _attention, "inference": {"prompt_tokens": _length, "new_tokens": 9, "logits": _logits},
        }  # fmt: skip
