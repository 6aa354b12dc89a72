"""Image classifiers of timm and torchvision, made to answer as transformers' do: a loss and logits.

Both packages are optional and imported only when a scenario names one of their models.
"""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import torch

from memcalc.errors import ModelError

SIDE = 224
"""Pixels a side where neither the scenario nor the model names another size."""


class ImageClassification(torch.nn.Module):  # type: ignore[misc]  # torch is optional and untyped here
    """A bare classifier with cross entropy over its logits."""

    main_input_name = "pixel_values"

    def __init__(self, inner: torch.nn.Module, side: int) -> None:
        super().__init__()
        self.inner = inner
        self.config = SimpleNamespace(is_encoder_decoder=False, image_size=side, num_channels=3)

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        """Logits, and the loss where labels are given."""
        logits = self.inner(pixel_values)
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SimpleNamespace(loss=loss, logits=logits)

    def activation_checkpointing_enable(self) -> None:
        """Checkpoint every block, with timm's own switch."""
        self.inner.set_grad_checkpointing(True)

    def checkpointed_blocks(self) -> list[torch.nn.Module]:
        """The blocks that timm checkpoints, one by one."""
        runs = [m for name, m in self.inner.named_modules() if name.rpartition(".")[2] == "blocks"]
        return [block for run in runs for block in run]

    def head(self) -> torch.nn.Module:
        """The layer that gives the scores."""
        for name in ("head", "fc", "heads", "classifier"):
            found = getattr(self.inner, name, None)
            if found is not None:
                return found
        raise ModelError("the model has no head that is known by name", "training.method")


def classifier(library: str, name: str, side: int | None = None) -> ImageClassification:
    """The model ``name`` of ``timm`` or ``torchvision``, without weights, on the current default device; built for
    pictures of ``side`` pixels a side, where that matters to it."""
    if not isinstance(name, str) or ":" in name:  # timm would fetch what has a scheme
        raise ModelError(f"{name!r} is no name of a {library} model", f"model.{library}")
    try:
        module = importlib.import_module("timm" if library == "timm" else "torchvision.models")
    except ImportError as error:
        raise ModelError(f"tracing {name} needs the package {library}", "model") from error
    if library == "timm":
        inner = module.create_model(name, pretrained=False)
        own = int(inner.default_cfg.get("input_size", (3, SIDE, SIDE))[-1])
        if side not in (None, own) and hasattr(inner, "pos_embed"):
            inner = module.create_model(name, pretrained=False, img_size=side)
        return ImageClassification(inner, own)
    inner = module.get_model(name, weights=None)
    if side not in (None, SIDE) and hasattr(inner, "image_size"):
        inner = module.get_model(name, weights=None, image_size=side)
    return ImageClassification(inner, SIDE)
