"""Denoisers of diffusers as models by themselves, made to answer as transformers' do: a loss and a result.

diffusers is optional and imported only when a scenario gives one of its configurations.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch

from memcalc.errors import ModelError

KNOWN = ("UNet2DConditionModel", "DiTTransformer2DModel")
"""Classes that are built from a configuration."""
LATENT = 8
"""Pixels a side of one latent."""


class Denoising(torch.nn.Module):  # type: ignore[misc]  # torch is optional and untyped here
    """A bare denoiser with the mean squared error between what it gives and the noise."""

    main_input_name = "sample"

    def __init__(self, inner: torch.nn.Module, kind: str) -> None:
        super().__init__()
        self.inner = inner
        self.kind = kind
        self.config = SimpleNamespace(is_encoder_decoder=False)

    @property
    def predicts_variance(self) -> bool:
        """Whether it gives more than the noise."""
        config = self.inner.config
        return bool((config.out_channels or config.in_channels) > config.in_channels)

    def forward(self, target: torch.Tensor | None = None, **given: torch.Tensor) -> Any:
        """The predicted noise, and the loss where the noise is given."""
        sample = self.inner(**given, return_dict=False)[0]
        loss = None
        if self.predicts_variance and target is not None:
            sample = sample[:, : target.shape[1]]
        if target is not None:
            loss = torch.nn.functional.mse_loss(sample.float(), target.float(), reduction="mean")
        return SimpleNamespace(loss=loss, logits=sample)

    def activation_checkpointing_enable(self) -> None:
        """Checkpoint every block, with diffusers' own switch."""
        self.inner.enable_gradient_checkpointing()

    def checkpointed_blocks(self) -> list[torch.nn.Module]:
        """The blocks that diffusers checkpoints."""
        names = ("ResnetBlock2D", "BasicTransformerBlock")
        return [
            block
            for name, block in self.inner.named_modules()
            if type(block).__name__ in names and name != "mid_block.resnets.0"
        ]

    def batch(self, rows: int, side: int | None, text: int | None, dtype: torch.dtype, train: bool) -> dict[str, Any]:
        """Latents of pictures of ``side`` pixels a side, a time step for each, what conditions them, and the noise."""
        config = self.inner.config
        size = config.sample_size if side is None else side // LATENT
        given: dict[str, Any] = {}
        latents = torch.empty(rows, config.in_channels, size, size, dtype=dtype)
        given["hidden_states" if self.kind.startswith("DiT") else "sample"] = latents
        given["timestep"] = torch.zeros(rows, dtype=torch.int64)
        if self.kind.startswith("DiT"):
            given["class_labels"] = torch.zeros(rows, dtype=torch.int64)
        else:
            given["encoder_hidden_states"] = torch.empty(rows, text or 77, config.cross_attention_dim, dtype=dtype)
        if train:
            given["target"] = torch.empty(rows, config.in_channels, size, size, dtype=dtype)
        return given


def denoiser(config: Any, side: int | None = None) -> Denoising:
    """The model that a diffusers configuration stands for, without weights, on the current default device; with
    positions for pictures of ``side`` pixels a side."""
    kind = config.get("_class_name") if isinstance(config, Mapping) else None
    if kind not in KNOWN:
        raise ModelError("the tracer builds these classes of diffusers", "model.diffusers._class_name", KNOWN)
    try:
        module = importlib.import_module("diffusers")
    except ImportError as error:
        raise ModelError("tracing it needs the package diffusers", "model") from error
    values = {name: value for name, value in config.items() if not name.startswith("_")}
    if side is not None:
        values["sample_size"] = side // LATENT
    return Denoising(getattr(module, kind)(**values), kind)
