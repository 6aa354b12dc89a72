"""Encoders of text for ``record_traces.py``: BERT, RoBERTa and DistilBERT with their heads, over all settings."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

BERT: Config = {
    "architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": 1999, "hidden_size": 256,
    "intermediate_size": 688, "num_hidden_layers": 5, "num_attention_heads": 8, "max_position_embeddings": 512,
    "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip
ROBERTA = BERT | {
    "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "max_position_embeddings": 514,
    "type_vocab_size": 1, "pad_token_id": 1,
}  # fmt: skip
XLM_ROBERTA = ROBERTA | {"architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta"}
DISTIL: Config = {
    "architectures": ["DistilBertForMaskedLM"], "model_type": "distilbert", "vocab_size": 1999, "dim": 256,
    "hidden_dim": 688, "n_layers": 5, "n_heads": 8, "max_position_embeddings": 512, "activation": "gelu",
    "dropout": 0.1, "attention_dropout": 0.1, "seq_classif_dropout": 0.2,
}  # fmt: skip
LABELS = {f"{i}": f"LABEL_{i}" for i in range(7)}


def labelled(config: Config) -> Config:
    """The same model with a head for a label."""
    return config | {
        "architectures": [config["architectures"][0].replace("ForMaskedLM", "ForSequenceClassification")],
        "id2label": LABELS,
        "label2id": {value: int(key) for key, value in LABELS.items()},
    }


def bare(config: Config) -> Config:
    """The same model without a head."""
    return config | {"architectures": [config["architectures"][0].replace("ForMaskedLM", "Model")]}


def train(
    name: str, config: Config, batch: int, length: int, precision: str, attention: str = "sdpa", mask: str = "none",
    **options: Any,
) -> None:  # fmt: skip
    """Add a training step; ``options`` are fields of ``training``."""
    said = " ".join(str(one) for one in options.values())
    CASES[f"{name} train {precision} {attention} {mask} b{batch} s{length} {said}".strip()] = {
        "task": "train", "model": {"config": config}, "precision": precision, "batch": batch, "seq_len": length,
        "attention": attention, "attention_mask": mask,
        "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip


def infer(
    name: str, config: Config, batch: int, length: int, precision: str, attention: str = "sdpa", mask: str = "none"
) -> None:
    """Add a forward pass."""
    CASES[f"{name} forward {precision} {attention} {mask} b{batch} s{length}"] = {
        "task": "infer", "model": {"config": config}, "precision": precision, "batch": batch, "attention": attention,
        "attention_mask": mask, "inference": {"runtime": "forward", "prompt_tokens": length, "new_tokens": 0},
    }  # fmt: skip


def lora(targets: Any, dtype: str = "fp32", dropout: float = 0.0) -> dict[str, Any]:
    """The fields of ``training`` for LoRA."""
    return {"method": "lora", "lora": {"r": 8, "targets": targets, "dtype": dtype, "dropout": dropout}}


FAMILIES = (("bert", BERT), ("roberta", ROBERTA), ("distilbert", DISTIL))
for n, c in FAMILIES:
    for p in ("fp32", "bf16", "bf16-mixed", "fp16-mixed"):
        train(f"{n} mlm", c, 3, 177, p)
        train(f"{n} label", labelled(c), 3, 177, p)
    train(f"{n} mlm", c, 1, 128, "bf16")
    train(f"{n} label", labelled(c), 16, 64, "fp32", optimizer="sgd-momentum")
    train(f"{n} mlm", c, 4, 100, "bf16-mixed", "eager")
    train(f"{n} label", labelled(c), 4, 100, "fp32", "eager")
    train(f"{n} label", labelled(c), 4, 100, "bf16", "math")
    train(f"{n} mlm", c, 4, 96, "bf16", mask="padded")
    train(f"{n} label", labelled(c), 4, 100, "fp32", mask="padded")
    train(f"{n} mlm", c, 4, 100, "fp16-mixed", "eager", "padded")
    train(f"{n} mlm", c, 4, 128, "bf16", checkpointing="full")
    train(f"{n} label", labelled(c), 4, 128, "bf16-mixed", checkpointing="full")
    train(f"{n} label", labelled(c), 4, 128, "fp32", checkpointing="selective-attention")
    train(f"{n} mlm", c, 4, 128, "bf16", checkpointing="selective-ops")
    train(f"{n} mlm", c, 2, 200, "fp32", grad_accumulation=2)
    train(f"{n} label", labelled(c), 2, 200, "bf16-mixed", zero_grad="keep", clip_grad=True)
    train(f"{n} label", labelled(c), 2, 200, "bf16-master", optimizer_impl="fused")
    train(f"{n} mlm", c, 2, 200, "fp32", optimizer="adafactor-hf", optimizer_impl="for-loop")
    train(f"{n} label", labelled(c), 4, 128, "bf16", method="head")
    train(f"{n} mlm", c, 4, 128, "fp32", method="head")
    # PEFT trains the head of a label whole, and cannot adapt DistilBERT's pre_classifier too.
    linear = ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"] if n == "distilbert" else "all-linear"
    train(f"{n} label", labelled(c), 4, 128, "bf16", **lora(linear))
    train(f"{n} label", labelled(c), 4, 128, "bf16", checkpointing="full", **lora(linear, dropout=0.1))
    train(f"{n} label", labelled(c), 3, 77, "bf16-mixed", **lora(linear) | {"method": "qlora"})
    train(f"{n} label", labelled(c), 3, 77, "bf16-master", grad_accumulation=2, **lora(linear, "bf16"))
    train(f"{n} label", labelled(c), 4, 128, "fp32", activation_offload=True)
    infer(f"{n} mlm", c, 8, 256, "bf16")
    infer(f"{n} label", labelled(c), 1, 512, "fp32")
    infer(f"{n} bare", bare(c), 32, 100, "fp16")
    infer(f"{n} label", labelled(c), 4, 100, "bf16", "eager")
    infer(f"{n} bare", bare(c), 4, 101, "fp32", mask="padded")
train("bert label", labelled(BERT), 4, 128, "bf16-mixed", **lora(["query", "value"], dropout=0.1))
train("roberta mlm", ROBERTA, 4, 128, "bf16", **lora(["query", "value"], "bf16"))
train("distilbert mlm", DISTIL, 4, 128, "fp32", **lora(["q_lin", "lin1"], dropout=0.1))
train("bert label", labelled(BERT), 4, 128, "bf16", method="dora", lora={"r": 8, "targets": ["query", "dense"]})
train("roberta label", labelled(ROBERTA), 4, 128, "fp32", method="dora", lora={"r": 8, "targets": ["query", "dense"]})
infer("xlm-roberta bare", XLM_ROBERTA, 8, 256, "bf16")
