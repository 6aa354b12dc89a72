"""Encoder-decoders for ``record_traces.py``: T5, BART and Whisper, trained, in one pass and generating."""

from __future__ import annotations

from typing import Any

from tests.trace_cases_encoders import Config, lora

CASES: dict[str, dict[str, Any]] = {}

T5: Config = {
    "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 1999, "d_model": 256,
    "d_kv": 32, "d_ff": 688, "num_layers": 5, "num_decoder_layers": 4, "num_heads": 8, "feed_forward_proj": "relu",
    "dropout_rate": 0.1, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip
FLAN = T5 | {"feed_forward_proj": "gated-gelu", "num_layers": 2, "num_decoder_layers": 3}


def train(
    name: str, config: Config, batch: int, length: int, target: int, precision: str, attention: str = "sdpa",
    mask: str = "none", **options: Any,
) -> None:  # fmt: skip
    """Add a training step; ``options`` are fields of ``training``."""
    said = " ".join(str(one) for one in options.values())
    CASES[f"{name} train {precision} {attention} {mask} b{batch} s{length} t{target} {said}".strip()] = {
        "task": "train", "model": {"config": config}, "precision": precision, "batch": batch, "seq_len": length,
        "target_len": target, "attention": attention, "attention_mask": mask,
        "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip


def infer(
    name: str, config: Config, batch: int, prompt: int, new: int, precision: str, attention: str = "sdpa",
    mask: str = "none",
) -> None:  # fmt: skip
    """Add a generation."""
    CASES[f"{name} generate {precision} {attention} {mask} b{batch} p{prompt} n{new}"] = {
        "task": "infer", "model": {"config": config}, "precision": precision, "batch": batch, "attention": attention,
        "attention_mask": mask, "inference": {"prompt_tokens": prompt, "new_tokens": new},
    }  # fmt: skip


def forward(name: str, config: Config, batch: int, length: int, target: int, precision: str) -> None:
    """Add a forward pass."""
    CASES[f"{name} forward {precision} b{batch} s{length} t{target}"] = {
        "task": "infer", "model": {"config": config}, "precision": precision, "batch": batch, "target_len": target,
        "inference": {"runtime": "forward", "prompt_tokens": length, "new_tokens": 0},
    }  # fmt: skip


for n, c in (("t5", T5), ("flan", FLAN)):
    for p in ("fp32", "bf16", "bf16-mixed"):
        train(n, c, 3, 177, 50, p)
        train(n, c, 2, 128, 64, p)
    train(n, c, 1, 96, 40, "bf16")
    train(n, c, 4, 96, 48, "fp32", "eager")
    train(n, c, 4, 100, 48, "bf16", "math")
    train(n, c, 4, 96, 52, "bf16-mixed", mask="padded")
    train(n, c, 2, 128, 64, "bf16", checkpointing="full")
    train(n, c, 2, 120, 64, "fp32", grad_accumulation=2)
    infer(n, c, 2, 128, 32, "bf16")
train("t5", T5, 2, 128, 64, "fp16")
train("t5", T5, 4, 96, 48, "fp16-mixed", "eager", "padded")
train("t5", T5, 2, 128, 64, "fp32", checkpointing="selective-attention")
train("t5", T5, 2, 100, 64, "bf16", optimizer="sgd", **lora("all-linear"))
train("flan", FLAN, 2, 128, 64, "bf16-mixed", checkpointing="full", **lora(["q", "v"], dropout=0.1))
train("flan", FLAN, 2, 128, 64, "bf16", method="head")
forward("t5", T5, 4, 200, 100, "bf16")
OWN_HEAD = FLAN | {"tie_word_embeddings": False}
train("flan own head", OWN_HEAD, 2, 128, 64, "bf16")
train("flan own head", OWN_HEAD, 2, 128, 64, "bf16-mixed", method="head")
infer("flan own head", OWN_HEAD, 2, 100, 20, "bf16")
infer("t5", T5, 1, 300, 2, "fp32")
infer("flan", FLAN, 4, 100, 20, "bf16", "eager")
infer("t5", T5, 4, 100, 20, "fp32", mask="padded")
