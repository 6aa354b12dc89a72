"""Random settings for ``fuzz_traces.py``: the fields of ``training`` and ``inference``."""

from __future__ import annotations

import random
from typing import Any

from memcalc.training.optimizers import IMPLEMENTATIONS, OPTIONS

TRACED = (
    "adamw", "adam", "sgd", "sgd-momentum", "adagrad", "rmsprop", "adafactor", "adafactor-hf", "nadam", "radam",
    "adamax", "adadelta", "muon",
)  # fmt: skip
"""Optimizers that the tracer runs without further packages."""
PACKAGED = ("lion", "lamb", "galore", "apollo", "adam-mini", "adamw-8bit", "paged-adamw-8bit")
"""Those that need their packages."""


def training(rng: random.Random) -> dict[str, Any]:
    """Most settings at their usual value, a few not."""
    found: dict[str, Any] = {}
    if rng.random() < 0.5:
        name = rng.choice(TRACED if rng.random() < 0.8 else PACKAGED)
        found["optimizer"] = name
        found["optimizer_impl"] = rng.choice(IMPLEMENTATIONS[name])
        options = {
            one: {"weight_decay": 0.1, "amsgrad": True, "momentum": 0.9, "centered": True, "beta1": 0.9}[one]
            for one in OPTIONS.get(name, ())
            if rng.random() < 0.3
        }
        if options:
            found["optimizer_options"] = options
    else:
        found["optimizer_impl"] = rng.choice(("foreach", "fused", "for-loop"))
    method = rng.choice(("full", "full", "full", "lora", "qlora", "dora", "head"))
    if method != "full":
        found["method"] = method
    if method in ("lora", "qlora", "dora"):
        found["lora"] = {
            "r": rng.choice((1, 4, 8, 16, 64)),
            "dropout": rng.choice((0.0, 0.1)),
            "dtype": rng.choice(("fp32", "fp32", "bf16")),
            "targets": "all-linear",
        }
    if method == "qlora":  # needs the package bitsandbytes
        found["base_weights"] = rng.choice(("nf4", "nf4-dq"))
    found["checkpointing"] = rng.choice(
        ("none", "none", "none", "full", "full", "selective-attention", "selective-ops")
    )
    found["grad_accumulation"] = rng.choice((1, 1, 1, 2, 4))
    found["zero_grad"] = rng.choice(("set-to-none", "set-to-none", "set-to-none", "keep"))
    found["activation_offload"] = rng.random() < 0.1
    found["clip_grad"] = rng.random() < 0.1
    found["ema"] = rng.random() < 0.1
    return found


def inference(rng: random.Random) -> dict[str, Any]:
    """A generation, or one forward pass."""
    return {
        "prompt_tokens": rng.choice((1, 2, 7, 33, 64, 100, 129, 256, 500, 1000)),
        "new_tokens": rng.choice((1, 2, 3, 5, 20, 200)),
        "runtime": rng.choice(("transformers", "transformers", "forward")),
        "logits": rng.choice(("last", "all")),
    }
