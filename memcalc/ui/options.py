"""What the controls offer, and what each choice means in one line."""

from __future__ import annotations

import math
import re

from memcalc.scenario import METHODS as KNOWN_METHODS
from memcalc.training.optimizers import IMPLEMENTATIONS

SOURCES = ("Known model", "Any size")
#: Parameter counts from 10M to 2T in steps of 1-2-3-5-7.
SIZES = tuple(
    step * 10**exponent for exponent in range(7, 13) for step in (1, 2, 3, 5, 7) if step * 10**exponent <= 2 * 10**12
)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
LENGTHS = (128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152, 65536, 98304,
           131072, 262144, 524288, 1048576)  # fmt: skip
TARGETS = (1, 16, 32, 64, 128, 192, 256, 384, 448, 512, 768, 1024, 2048, 4096)
NEW_TOKENS = (1, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)

TRAINING_PRECISIONS = {
    "bf16": "Weights, gradients and optimizer states all in 16 bits: small, but updates lose digits.",
    "fp16": "Like bf16 with a narrower range: all in 16 bits.",
    "fp32": "Everything in 32 bits: exact, and twice the size.",
    "bf16-mixed": "32-bit weights, computed in bf16 (torch.autocast): what most training scripts do.",
    "fp16-mixed": "32-bit weights, computed in fp16 (torch.autocast with a gradient scaler).",
    "bf16-master": "16-bit weights and gradients beside a 32-bit master copy and 32-bit states.",
    "fp16-master": "Like bf16-master, in fp16: 2 + 2 + 4 + 8 bytes a parameter with Adam.",
}
INFERENCE_PRECISIONS = {
    "bf16": "2 bytes a weight: how most models are published.",
    "fp16": "2 bytes a weight.",
    "fp32": "4 bytes a weight.",
}
OPTIMIZERS = {
    "adamw": "Two running averages for each trained weight.",
    "adam": "Two running averages for each trained weight.",
    "sgd": "Keeps nothing of its own.",
    "sgd-momentum": "One running average for each trained weight.",
    "adagrad": "One running sum for each trained weight.",
    "rmsprop": "One running average for each trained weight.",
    "adafactor": "A row and a column of averages for each weight matrix (torch's edition).",
    "adafactor-hf": "A row and a column of averages for each weight matrix (Hugging Face's edition).",
}
_MORE = {
    "nadam": "Two running averages for each trained weight.",
    "radam": "Two running averages for each trained weight.",
    "adamax": "A running average and a running maximum for each trained weight.",
    "adadelta": "Two running averages for each trained weight.",
    "lion": "One running average for each trained weight.",
    "lamb": "Two running averages for each trained weight.",
    "adamw-8bit": "Two running averages in 8 bits each.",
    "paged-adamw-32bit": "Two running averages in 32 bits, which can move to the computer's own memory.",
    "lion-8bit": "One running average in 8 bits.",
    "paged-adamw-8bit": "Two running averages in 8 bits each, which can move to the computer's own memory.",
    "muon": "One running average for each weight of a matrix.",
    "adam-mini": "One running average for each trained weight, and one number for each group of them.",
    "galore": "Two running averages of gradients that are projected to a low rank.",
    "apollo": "Two running averages of randomly projected gradients.",
}
# What the core learns is offered by itself, explained or not.
OPTIMIZERS |= {name: _MORE.get(name, "See the table.") for name in IMPLEMENTATIONS if name not in OPTIMIZERS}
_METHOD_NAMES = {"full": "Full", "lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA", "head": "Head only"}
METHODS = {name: _METHOD_NAMES.get(name, name) for name in KNOWN_METHODS}
CARD_SIZES = ("8GB", "12GB", "16GB", "24GB", "32GB", "48GB", "80GB")

#: A sentence for each control, shown behind its question mark.
HELP = {
    "source": "A published model with its exact architecture, or a typical decoder of a given size.",
    "exact": "A number of parameters such as 6.74B, 350M or 8030261248. It wins over the slider.",
    "gpu": "“16 GB card”: the smallest capacity that a driver reports for a consumer card sold with 16 GB. "
    "It is less than 16 GiB, since the driver keeps some for itself.",
    "batch": "How many sequences go through the model together, on one card.",
    "seq": "Training: the length of each sequence. Inference: the length of the prompt.",
    "new": "How many tokens the model writes after the prompt; each adds to the KV cache.",
    "method": "Full: every weight is trained. LoRA: the weights are frozen, small adapters beside them learn. "
    "QLoRA: the same over weights kept in 4 bits.",
    "checkpointing": "Keeps only each block's input and computes the rest again in the backward pass: "
    "less memory, about a third more time.",
}

_SUFFIX = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_SIZE = re.compile(r"\s*([0-9][0-9_,']*(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([KMBGT]?)\s*", re.IGNORECASE)


def ladder(value: int) -> str:
    """A rung's name, as shown and as written in links: ``7B``, ``20M``, ``2T``."""
    for factor, name in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if value >= factor:
            return f"{value // factor}{name}"
    return str(value)


def parse_size(text: str) -> int:
    """``"6.74B"``, ``"124M"``, ``"8,030,261,248"`` as a number of parameters; ValueError with a reason."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError("Write a number such as 6.74B, 350M or 8030261248.")
    value = float(re.sub(r"[_,']", "", match[1])) * _SUFFIX[match[2].upper()]
    if not math.isfinite(value) or not 1 <= value <= 1e14:
        raise ValueError("Between 1 and 100T parameters, please.")
    return round(value)
