"""The scenario: what was asked, checked, with every default filled in.

``Scenario.read`` takes the contract's JSON object. Values that cannot be understood raise ScenarioError
with the field's dotted path and the choices; fields that do not apply are dropped and named in ``notes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memcalc.errors import ScenarioError
from memcalc.scenario.fields import LARGEST_COUNT, Fields
from memcalc.scenario.parallel import Parallel, check, read_parallel
from memcalc.scenario.running import RUNTIMES, SERVERS, read_hardware, read_inference
from memcalc.scenario.settings import Hardware, Inference, LoraSettings, Training
from memcalc.scenario.training import CHECKPOINTING, METHODS, read_training
from memcalc.training.optimizers import OPTIONS as OPTIMIZER_OPTIONS
from memcalc.training.precision import INFERENCE, TRAINING

__all__ = [
    "ATTENTION", "CHECKPOINTING", "LARGEST_COUNT", "METHODS", "OPTIMIZER_OPTIONS", "RUNTIMES", "SERVERS",
    "Hardware", "Inference", "LoraSettings", "Parallel", "Scenario", "Training",
]  # fmt: skip

ATTENTION = ("sdpa", "flash", "efficient", "math", "eager")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question: this model, this task, these settings. Make it with ``Scenario.read``."""

    model: Any
    task: str = "infer"
    precision: str = "bf16"
    batch: int = 1
    seq_len: int | None = None
    target_len: int | None = None
    attention: str = "sdpa"
    attention_mask: str = "none"
    training: Training = field(default_factory=Training)
    inference: Inference = field(default_factory=Inference)
    hardware: Hardware = field(default_factory=Hardware)
    parallel: Parallel = field(default_factory=Parallel)
    expandable_segments: bool = False
    image_size: int | None = None
    text_len: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, raw: Mapping[str, Any] | Scenario) -> Scenario:
        """Check the contract's object. Lengths that are not given stay None until the model is known."""
        if isinstance(raw, Scenario):
            return raw
        if not isinstance(raw, Mapping):
            raise ScenarioError("a scenario must be a JSON object", "")
        return _read(raw)

    def as_dict(self) -> dict[str, Any]:
        """The scenario as understood, defaults filled in."""
        found: dict[str, Any] = {
            "model": self.model,
            "task": self.task,
            "precision": self.precision,
            "batch": self.batch,
            "attention": self.attention,
            "attention_mask": self.attention_mask,
        }
        if self.image_size is not None:
            found["image_size"] = self.image_size
        if self.text_len is not None:
            found["text_len"] = self.text_len
        if self.expandable_segments:
            found["expandable_segments"] = True
        if self.task == "train":
            found["seq_len"] = self.seq_len
            if self.target_len is not None:
                found["target_len"] = self.target_len
            found["training"] = self.training.as_dict()
        else:
            found["inference"] = self.inference.as_dict()
        if self.parallel != Parallel():
            found["parallel"] = self.parallel.as_dict()
        found["hardware"] = self.hardware.as_dict() if self.hardware != Hardware() else None
        return found


def _read(raw: Mapping[str, Any]) -> Scenario:
    top = Fields(raw)
    notes: list[str] = []
    model = top.get("model")
    if model is None:
        raise ScenarioError("model is required", "model")
    task = top.choice("task", ("train", "infer"), "infer")
    training = read_training(top, task, notes)
    precision = top.choice("precision", tuple(TRAINING if task == "train" else INFERENCE), "bf16")
    batch = top.whole("batch", 1)
    seq_len = top.get("seq_len")
    if task == "train":
        seq_len = None if seq_len is None else top.whole("seq_len", 1)
    elif seq_len is not None:
        notes.append("seq_len is ignored: inference takes its lengths from inference.prompt_tokens and new_tokens")
        seq_len = None
    target_len = None if top.get("target_len") is None else top.whole("target_len", 1)
    image_size = None if top.get("image_size") is None else top.whole("image_size", 1)
    text_len = None if top.get("text_len") is None else top.whole("text_len", 1)
    attention = top.choice("attention", ATTENTION, "sdpa")
    mask = top.choice("attention_mask", ("none", "padded"), "none")
    inference = read_inference(top, task, notes)
    hardware = read_hardware(top)
    parallel = read_parallel(top, task, notes)
    if task == "train":
        check(parallel, training, precision, hardware)
    expandable = top.flag("expandable_segments")
    top.finish()
    return Scenario(
        model, task, precision, batch, seq_len, target_len, attention, mask, training, inference, hardware, parallel,
        expandable, image_size, text_len, tuple(notes),
    )  # fmt: skip
