"""The parts of a scenario as checked values, with the contract's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Rank, targets (None: PEFT's usual ones for the model), adapter format, dropout."""

    r: int = 16
    targets: tuple[str, ...] | str | None = None
    dtype: str = "fp32"
    dropout: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        targets = list(self.targets) if isinstance(self.targets, tuple) else self.targets
        return {"r": self.r, "targets": targets, "dtype": self.dtype, "dropout": self.dropout}


@dataclass(frozen=True, slots=True)
class Training:
    """How the training step is made."""

    method: str = "full"
    optimizer: str = "adamw"
    optimizer_impl: str = "foreach"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    grad_accumulation: int = 1
    checkpointing: str = "none"
    lora: LoraSettings | None = None
    gradient_dtype: str | None = None
    zero_grad: str = "set-to-none"
    clip_grad: bool = False
    ema: bool = False
    base_weights: str | None = None
    loss: str = "standard"
    liger: bool = False
    activation_offload: bool = False

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "method": self.method,
            "optimizer": self.optimizer,
            "optimizer_impl": self.optimizer_impl,
            "optimizer_options": dict(self.optimizer_options),
            "grad_accumulation": self.grad_accumulation,
            "checkpointing": self.checkpointing,
            "loss": self.loss,
            "zero_grad": self.zero_grad,
            "clip_grad": self.clip_grad,
            "ema": self.ema,
            "liger": self.liger,
            "activation_offload": self.activation_offload,
        }
        if self.lora is not None:
            found["lora"] = self.lora.as_dict()
        if self.base_weights is not None:
            found["base_weights"] = self.base_weights
        if self.gradient_dtype is not None:
            found["gradient_dtype"] = self.gradient_dtype
        return found


@dataclass(frozen=True, slots=True)
class Inference:
    """How the generation (or the one forward pass) is made. ``prompt_tokens`` is filled in once the model is known.

    ``server``: the settings of a serving runtime that were given (or found out on the way)."""

    prompt_tokens: int | None = None
    new_tokens: int = 128
    runtime: str = "transformers"
    logits: str = "last"
    weights: str = "same"
    kv_cache: str = "same"
    beams: int = 1
    server: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "weights": self.weights,
            "kv_cache": self.kv_cache,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "runtime": self.runtime,
            "logits": self.logits,
            "beams": self.beams,
            **self.server,
        }


@dataclass(frozen=True, slots=True)
class Hardware:
    """A GPU by name (or "16GB", "live:0") and the bytes to keep free on it. ``free``: the bytes that are free on it
    now, as its owner's nvidia-smi says, in place of its whole capacity."""

    gpu: str | None = None
    count: int = 1
    reserve: int = 0
    free: int | None = None

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"gpu": self.gpu, "count": self.count, "reserve": self.reserve}
        return found if self.free is None else {**found, "free": self.free}
