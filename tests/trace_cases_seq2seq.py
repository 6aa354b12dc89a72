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
    """Add a training step (``length`` 0: the encoder's is fixed); ``options`` are fields of ``training``."""
    said = " ".join(str(one) for one in options.values())
    given = {"seq_len": length} if length else {}
    source = f"s{length} " if length else ""
    CASES[f"{name} train {precision} {attention} {mask} b{batch} {source}t{target} {said}".strip()] = {
        "task": "train", "model": {"config": config}, "precision": precision, "batch": batch, **given,
        "target_len": target, "attention": attention, "attention_mask": mask,
        "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip


def infer(
    name: str, config: Config, batch: int, prompt: int, new: int, precision: str, attention: str = "sdpa",
    mask: str = "none",
) -> None:  # fmt: skip
    """Add a generation."""
    given = {"prompt_tokens": prompt} if prompt else {}
    source = f"p{prompt} " if prompt else ""
    CASES[f"{name} generate {precision} {attention} {mask} b{batch} {source}n{new}"] = {
        "task": "infer", "model": {"config": config}, "precision": precision, "batch": batch, "attention": attention,
        "attention_mask": mask, "inference": {**given, "new_tokens": new},
    }  # fmt: skip


def forward(name: str, config: Config, batch: int, length: int, target: int, precision: str) -> None:
    """Add a forward pass."""
    given = {"prompt_tokens": length} if length else {}
    source = f"s{length} " if length else ""
    CASES[f"{name} forward {precision} b{batch} {source}t{target}"] = {
        "task": "infer", "model": {"config": config}, "precision": precision, "batch": batch, "target_len": target,
        "inference": {"runtime": "forward", **given, "new_tokens": 0},
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
MT5 = OWN_HEAD | {"architectures": ["MT5ForConditionalGeneration"], "model_type": "mt5"}
train("mt5", MT5, 3, 100, 50, "bf16-mixed", mask="padded")
train("mt5", MT5, 2, 128, 64, "fp32")
infer("mt5", MT5, 2, 100, 20, "bf16")
infer("t5", T5, 1, 300, 2, "fp32")
infer("flan", FLAN, 4, 100, 20, "bf16", "eager")
infer("t5", T5, 4, 100, 20, "fp32", mask="padded")

WHISPER: Config = {
    "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "vocab_size": 2003, "d_model": 192,
    "encoder_layers": 5, "decoder_layers": 4, "encoder_attention_heads": 6, "decoder_attention_heads": 6,
    "encoder_ffn_dim": 500, "decoder_ffn_dim": 600, "num_mel_bins": 80, "max_source_positions": 300,
    "max_target_positions": 200, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "decoder_start_token_id": 2,
}  # fmt: skip
DROPS = WHISPER | {
    "dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.05, "encoder_layers": 2, "decoder_layers": 3,
    "encoder_attention_heads": 3, "num_mel_bins": 128, "max_source_positions": 150,
}  # fmt: skip
for n, c in (("whisper", WHISPER), ("whisper drops", DROPS)):
    for p in ("fp32", "bf16", "bf16-mixed", "fp16"):
        train(n, c, 3, 0, 50, p)
    train(n, c, 1, 0, 40, "bf16")
    train(n, c, 4, 0, 200, "bf16-mixed", "eager")
    train(n, c, 4, 0, 48, "bf16", "math")
    train(n, c, 2, 0, 64, "bf16", checkpointing="full")
    train(n, c, 2, 0, 64, "bf16-mixed", checkpointing="full")
    train(n, c, 2, 0, 64, "fp32", grad_accumulation=2)
    infer(n, c, 2, 0, 32, "bf16")
train("whisper", WHISPER, 2, 0, 1, "bf16")
train("whisper", WHISPER, 4, 0, 48, "fp16-mixed")
train("whisper", WHISPER, 4, 0, 48, "fp32", "eager")
train("whisper", WHISPER, 2, 0, 64, "fp32", checkpointing="selective-attention")
train("whisper", WHISPER, 2, 0, 64, "bf16", checkpointing="selective-ops")
train("whisper", WHISPER, 2, 0, 100, "bf16", optimizer="sgd", **lora("all-linear"))
train("whisper", WHISPER, 2, 0, 100, "bf16", **lora(["q_proj", "v_proj"], dropout=0.1), checkpointing="full")
train("whisper", WHISPER, 2, 0, 100, "bf16-mixed", **lora(["q_proj", "v_proj"]), checkpointing="full")
train("whisper", WHISPER, 2, 0, 64, "bf16", method="head")
forward("whisper", WHISPER, 4, 0, 100, "bf16")
infer("whisper", WHISPER, 1, 0, 2, "fp32")
infer("whisper", WHISPER, 4, 0, 100, "bf16", "eager")
infer("whisper", WHISPER, 3, 0, 1, "fp16", "math")

BART: Config = {
    "architectures": ["BartForConditionalGeneration"], "model_type": "bart", "vocab_size": 2003, "d_model": 192,
    "encoder_layers": 5, "decoder_layers": 4, "encoder_attention_heads": 6, "decoder_attention_heads": 6,
    "encoder_ffn_dim": 500, "decoder_ffn_dim": 600, "max_position_embeddings": 256, "dropout": 0.1,
    "attention_dropout": 0.1, "activation_dropout": 0.1, "pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0,
    "decoder_start_token_id": 2,
}  # fmt: skip
MBART = BART | {
    "architectures": ["MBartForConditionalGeneration"], "model_type": "mbart", "encoder_layers": 2,
    "decoder_layers": 3, "attention_dropout": 0.0, "activation_dropout": 0.0, "encoder_attention_heads": 3,
}  # fmt: skip
for n, c in (("bart", BART), ("mbart", MBART)):
    for p in ("fp32", "bf16", "bf16-mixed", "fp16"):
        train(n, c, 3, 177, 50, p)
    train(n, c, 1, 96, 40, "bf16")
    train(n, c, 4, 96, 200, "bf16-mixed", "eager")
    train(n, c, 4, 100, 48, "bf16", "math")
    train(n, c, 4, 96, 52, "bf16-mixed", mask="padded")
    train(n, c, 2, 128, 64, "bf16", checkpointing="full")
    train(n, c, 2, 120, 64, "fp32", grad_accumulation=2)
    infer(n, c, 2, 128, 32, "bf16")
train("bart", BART, 4, 96, 48, "fp16-mixed", "eager", "padded")
train("bart", BART, 2, 128, 64, "fp32", checkpointing="selective-attention")
train("bart", BART, 2, 100, 64, "bf16", optimizer="sgd", **lora("all-linear"))
train("mbart", MBART, 2, 128, 64, "bf16-mixed", checkpointing="full", **lora(["q_proj", "v_proj"], dropout=0.1))
train("bart", BART, 2, 128, 64, "bf16", method="head")
forward("bart", BART, 4, 200, 100, "bf16")
infer("bart", BART, 1, 200, 2, "fp32")
infer("mbart", MBART, 4, 100, 20, "bf16", "eager")
infer("bart", BART, 4, 100, 20, "fp32", mask="padded")
infer("mbart", MBART, 2, 64, 40, "fp16", "math", "padded")
