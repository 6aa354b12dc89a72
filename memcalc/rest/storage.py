"""What a run keeps in the computer's memory and on disk."""

from __future__ import annotations

from memcalc.estimate import Estimate
from memcalc.rest.values import Line
from memcalc.scenario.paths import Json, get
from memcalc.training.precision import TRAINING
from memcalc.units import binary

ADAPTERS = ("lora", "qlora", "dora")
SHARE = 0.01
"""Headers, names of tensors, scheduler and random states in a checkpoint, as a share at most: assumed."""
PROCESS = (1_500_000_000, 4_000_000_000)
"""Bytes of main memory of a process with torch and CUDA loaded, before any model: assumed, not measured."""


def storage(asked: Json, step: Estimate) -> list[Line]:
    """The lines for disk and main memory."""
    method = get(asked, "training.method") or "full"
    weights = TRAINING[asked.get("precision") or "bf16"].weights
    if method in ADAPTERS:
        count, size = (
            step.parameters["trainable"],
            {"bf16": 2, "fp16": 2}.get(str(get(asked, "training.lora.dtype")), 4),
        )
        what = "adapters"
    else:
        count, size, what = step.parameters["total"], weights.size, "weights"
    model = count * size
    states = step.component_peak["optimizer"]
    saved = Line(
        "checkpoint", "one checkpoint", "disk", model + states, round((model + states) * (1 + SHARE)),
        f"{what}: {count:,} × {size} bytes = {binary(model)}; optimizer states (and master copies) {binary(states)}. "
        "As many times as checkpoints are kept",
        "transformers, Trainer._save_checkpoint: model.safetensors and optimizer.pt",
    )  # fmt: skip
    final = Line(
        "model file", "the trained model", "disk", model, round(model * (1 + SHARE)),
        f"{what}: {count:,} × {size} bytes", "safetensors: the tensors behind a header of names and shapes",
    )  # fmt: skip
    whole = step.parameters["total"] * weights.size
    largest = max(step.parameters["embedding"], 1) * weights.size
    host = Line(
        "host", "main memory", "host", PROCESS[0] + largest, PROCESS[1] + whole,
        f"the process itself ({binary(PROCESS[0])} to {binary(PROCESS[1])}), and while the model loads from its "
        f"largest table ({binary(largest)}) to all weights ({binary(whole)}); data and its workers come on top",
        "assumed: safetensors are mapped and copied tensor by tensor; older checkpoints are read whole",
    )  # fmt: skip
    return [saved, final, host]
