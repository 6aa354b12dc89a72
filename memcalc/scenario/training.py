"""Reads ``training``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from memcalc.errors import ScenarioError
from memcalc.scenario.fields import Fields
from memcalc.scenario.settings import LoraSettings, Training
from memcalc.training.optimizers import IMPLEMENTATIONS, OPTIONS

METHODS = ("full", "lora", "qlora", "dora", "head")
CHECKPOINTING = ("none", "full", "selective-attention", "selective-ops")
LORA_DTYPES = ("fp32", "bf16", "fp16")
BASE_WEIGHTS = ("nf4-dq", "nf4", "fp4-dq", "fp4")


def read_training(top: Fields, task: str, notes: list[str]) -> Training:
    raw = top.get("training")
    read = Fields({} if raw is None else raw, "training")
    method = read.choice("method", METHODS, "full")
    optimizer = read.choice("optimizer", tuple(IMPLEMENTATIONS), "adamw")
    possible = IMPLEMENTATIONS[optimizer]
    wished = read.choice("optimizer_impl", ("foreach", "fused", "for-loop"), possible[0])
    if wished not in possible:
        if wished == "fused":
            raise ScenarioError(
                f"{optimizer} has no fused implementation on a GPU", "training.optimizer_impl", possible
            )
        notes.append(f"training.optimizer_impl is ignored: {optimizer} only runs as {possible[0]}")
        wished = possible[0]
    lora = _lora(read.get("lora")) if read.raw.get("lora") is not None else None
    read.seen.add("lora")
    if method in ("lora", "qlora", "dora"):
        lora = lora or LoraSettings()
    elif lora is not None:
        notes.append(f"training.lora is ignored: training.method is {method}")
        lora = None
    gradient_dtype = read.get("gradient_dtype")
    if gradient_dtype not in (None, "fp32"):
        raise ScenarioError("training.gradient_dtype must be fp32 (or left out)", "training.gradient_dtype", ["fp32"])
    base_weights = None  # until the model is known: the checkpoint may have a format of its own
    if read.get("base_weights") is not None:
        if method == "qlora":
            base_weights = read.choice("base_weights", BASE_WEIGHTS, BASE_WEIGHTS[0])
        else:
            notes.append("training.base_weights is ignored: training.method is not qlora")
    found = Training(
        method=method,
        optimizer=optimizer,
        optimizer_impl=wished,
        optimizer_options=_options(read.get("optimizer_options"), optimizer, notes),
        grad_accumulation=read.whole("grad_accumulation", 1),
        checkpointing=read.choice("checkpointing", CHECKPOINTING, "none"),
        lora=lora,
        gradient_dtype=gradient_dtype,
        zero_grad=read.choice("zero_grad", ("set-to-none", "keep"), "set-to-none"),
        clip_grad=read.flag("clip_grad"),
        ema=read.flag("ema"),
        base_weights=base_weights,
        loss=read.choice("loss", ("standard", "fused"), "standard"),
        liger=read.flag("liger"),
        activation_offload=read.flag("activation_offload"),
    )
    read.finish()
    if found.activation_offload and found.checkpointing != "none":
        raise ScenarioError(
            "activation_offload together with checkpointing has no program yet: choose one of them",
            "training.activation_offload",
            [False],
        )
    if task != "train":
        if raw is not None:
            notes.append("training is ignored: the task is infer")
        return Training()
    return found


def _lora(raw: Any) -> LoraSettings:
    read = Fields(raw, "training.lora")
    targets = read.get("targets")
    if isinstance(targets, str) and targets != "all-linear":
        targets = [targets]
    if isinstance(targets, Sequence) and not isinstance(targets, str):
        if not targets or not all(isinstance(one, str) for one in targets):
            raise ScenarioError(
                "training.lora.targets must be names of linear layers", "training.lora.targets", ["all-linear"]
            )
        targets = tuple(targets)
    elif targets is not None and targets != "all-linear":
        raise ScenarioError(
            "training.lora.targets must be a list of names or all-linear", "training.lora.targets", ["all-linear"]
        )
    found = LoraSettings(
        read.whole("r", 16, high=65_536),
        targets,
        read.choice("dtype", LORA_DTYPES, "fp32"),
        read.fraction("dropout", 0.0),
    )
    read.finish()
    return found


def _options(raw: Any, optimizer: str, notes: list[str]) -> dict[str, Any]:
    """The hyperparameters that change memory, with torch's defaults where they are not given."""
    defaults: dict[str, Any] = {"weight_decay": 0.01} if optimizer == "adamw" else {}
    if raw is None:
        return defaults
    read = Fields(raw, "training.optimizer_options")
    found: dict[str, Any] = dict(defaults)
    for name in OPTIONS.get(optimizer, ()):
        value = read.get(name)
        if value is None:
            continue
        if name in ("amsgrad", "centered"):
            found[name] = read.flag(name)
        elif name == "rank":
            found[name] = read.whole(name, 128, high=65_536)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ScenarioError(f"{read.at(name)} must be a number of at least 0", read.at(name))
        else:
            found[name] = value
    known = {name for names in OPTIONS.values() for name in names} | {"lr", "eps", "betas", "rank"}
    for name in read.raw:
        if name in known and name not in read.seen:
            notes.append(f"training.optimizer_options.{name} does not change the memory of {optimizer}: ignored")
    read.finish(tuple(known))
    return found
