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


def classifier(library: str, name: str) -> ImageClassification:
    """The model ``name`` of ``timm`` or ``torchvision``, without weights, on the current default device."""
    if not isinstance(name, str) or ":" in name:  # timm would fetch what has a scheme
        raise ModelError(f"{name!r} is no name of a {library} model", f"model.{library}")
    try:
        module = importlib.import_module("timm" if library == "timm" else "torchvision.models")
    except ImportError as error:
        raise ModelError(f"tracing {name} needs the package {library}", "model") from error
    if library == "timm":
        inner = module.create_model(name, pretrained=False)
        return ImageClassification(inner, int(inner.default_cfg.get("input_size", (3, SIDE, SIDE))[-1]))
    return ImageClassification(module.get_model(name, weights=None), SIDE)
