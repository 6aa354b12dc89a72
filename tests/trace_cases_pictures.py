"""Classifiers of pictures for ``record_traces.py``: torchvision's and timm's ResNets (those packages must be there)."""

from __future__ import annotations

from typing import Any

CASES: dict[str, dict[str, Any]] = {}


def train(library: str, name: str, batch: int, side: int, precision: str, **options: Any) -> None:
    """Add a training step; ``options`` are fields of ``training``."""
    said = " ".join(str(one) for one in options.values())
    CASES[f"{library} {name} train {precision} b{batch} {side} px {said}".strip()] = {
        "task": "train", "model": {library: name}, "precision": precision, "batch": batch, "image_size": side,
        "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip


def infer(library: str, name: str, batch: int, side: int, precision: str) -> None:
    """Add a forward pass."""
    CASES[f"{library} {name} forward {precision} b{batch} {side} px"] = {
        "task": "infer", "model": {library: name}, "precision": precision, "batch": batch, "image_size": side,
        "inference": {"runtime": "forward"},
    }  # fmt: skip


for precision in ("fp32", "bf16", "bf16-mixed", "fp16-mixed"):
    train("torchvision", "resnet50", 16, 224, precision)
train("torchvision", "resnet18", 64, 224, "fp32", optimizer="sgd-momentum")
train("torchvision", "resnet34", 7, 161, "bf16-mixed")
train("torchvision", "resnet101", 3, 320, "bf16-mixed", grad_accumulation=2)
train("torchvision", "resnext50_32x4d", 4, 224, "fp32", optimizer="sgd-momentum")
train("torchvision", "wide_resnet50_2", 4, 192, "bf16-mixed")
train("timm", "resnet50", 8, 224, "bf16-mixed")
train("timm", "resnet34", 5, 97, "fp32", optimizer="sgd")
infer("torchvision", "resnet50", 32, 224, "fp32")
infer("torchvision", "resnet18", 1, 224, "bf16")
infer("timm", "resnet152", 4, 448, "bf16")
