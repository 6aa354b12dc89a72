"""Small variations of other families for ``record_traces.py``: GLM (2024), OLMo 3, Command R7B, Seed-OSS, ERNIE 4.5,
Hunyuan, EXAONE 4, Ministral, Arcee, Nemotron."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

_BASE: Config = {
    "vocab_size": 1999, "hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 8,
    "num_key_value_heads": 2, "num_hidden_layers": 5, "max_position_embeddings": 4096, "tie_word_embeddings": False,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def config_of(head: str, kind: str, **more: Any) -> Config:
    return {"architectures": [head], "model_type": kind, **_BASE, **more}


MODELS = {
    "glm": config_of("GlmForCausalLM", "glm", head_dim=32),
    "olmo3": config_of("Olmo3ForCausalLM", "olmo3", sliding_window=64),
    "cohere2": config_of("Cohere2ForCausalLM", "cohere2", sliding_window=64, tie_word_embeddings=True),
    "seed-oss": config_of("SeedOssForCausalLM", "seed_oss", head_dim=32),
    "ernie4.5": config_of("Ernie4_5ForCausalLM", "ernie4_5", head_dim=32, tie_word_embeddings=True),
    "hunyuan": config_of("HunYuanDenseV1ForCausalLM", "hunyuan_v1_dense", head_dim=32),
    "ministral": config_of("MinistralForCausalLM", "ministral", head_dim=32, sliding_window=64, layer_types=[
        "sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention",
    ]),
    "ministral3": config_of("Ministral3ForCausalLM", "ministral3", head_dim=32),
    "arcee": config_of("ArceeForCausalLM", "arcee", head_dim=32, mlp_bias=True),
    "nemotron": config_of("NemotronForCausalLM", "nemotron", head_dim=32),
    "exaone4": config_of("Exaone4ForCausalLM", "exaone4", sliding_window=64, sliding_window_pattern=4),
    "exaone4-full": config_of(
        "Exaone4ForCausalLM", "exaone4", sliding_window=None, layer_types=["full_attention"] * 5,
        tie_word_embeddings=True,
    ),
}  # fmt: skip
_LORA: Config = {"method": "lora", "lora": {"r": 8, "targets": "all-linear", "dropout": 0.1}}
TRAINING: list[tuple[str, str, Config, Config]] = [
    ("bf16", "adamw", {}, {}),
    ("fp32", "ckpt", {"checkpointing": "full"}, {}),
    ("bf16-mixed", "adamw", {}, {}),
    ("bf16-mixed", "lora ckpt", {"checkpointing": "full", **_LORA}, {}),
    ("bf16", "lora eager", _LORA, {"attention": "eager"}),
    ("bf16", "fused accumulation padded", {"optimizer_impl": "fused", "grad_accumulation": 2},
     {"attention_mask": "padded"}),
    ("fp16-mixed", "selective-ops", {"checkpointing": "selective-ops"}, {}),
]  # fmt: skip
INFERENCE = (("bf16", "sdpa", "last"), ("fp32", "sdpa", "all"), ("bf16", "eager", "last"))

for _name, _model in MODELS.items():
    for _precision, _what, _training, _more in TRAINING:
        CASES[f"{_name} train {_precision} {_what} b2 s150"] = {
            "model": {"config": _model}, "task": "train", "precision": _precision, "batch": 2, "seq_len": 150,
            "training": _training, **_more,
        }  # fmt: skip
    for _precision, _attention, _logits in (
        ("bf16", "sdpa", "last"),
        ("fp32", "sdpa", "all"),
        ("bf16", "eager", "last"),
    ):
        CASES[f"{_name} infer {_precision} {_attention} {_logits} b2 p150 n9"] = {
            "model": {"config": _model}, "task": "infer", "precision": _precision, "batch": 2, "attention": _attention,
            "inference": {"prompt_tokens": 150, "new_tokens": 9, "logits": _logits},
        }  # fmt: skip
