"""Every setting of a model of pictures. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from memcalc.architectures.images import ImageSpec
from memcalc.models import describe
from memcalc.models.vision import MODELS, name_of
from memcalc.training.optimizers import IMPLEMENTATIONS
from memcalc.ui import bring, options, training_settings
from memcalc.ui.form import Json, Setting, fill, get

USUAL = "resnet50 (torchvision)"
SIDES = (64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 640, 768, 896, 1024)
TASKS = {"train": "Training", "infer": "One pass"}
PAGES = {"train": "Training", "infer": "Inference"}
METHODS = ("full", "head", "lora")
TRAINED_PARTS = "Every weight, or only a part: the rest keeps no gradients and no optimizer states."


@dataclass(frozen=True)
class VisionSetting(Setting):
    """A control of a model of pictures."""

    def values(self) -> tuple[Any, ...]:
        if self.kind in ("ladder", "switch"):
            return self.rungs if self.kind == "ladder" else (self.usual, self.wish)
        return self.only or super().values()

    def supported(self) -> bool:
        """What each model takes is asked of its description."""
        return True


@lru_cache(maxsize=256)
def spec_of(name: str) -> ImageSpec:
    """What a model of the list is made of."""
    spec = describe(MODELS[name], False).spec
    assert isinstance(spec, ImageSpec)
    return spec


def _spec(scenario: Json) -> ImageSpec:
    return spec_of(name_of(scenario["model"]) or USUAL)


def _trains(scenario: Json) -> bool:
    return scenario.get("task") == "train"


def _passes(scenario: Json) -> bool:
    return not _trains(scenario)


def _checkpoints(scenario: Json) -> bool:
    return _trains(scenario) and "full" in _spec(scenario).checkpoints


def _has_head(scenario: Json) -> bool:
    methods = _spec(scenario).methods
    return _trains(scenario) and "head" in methods and "lora" not in methods


def _adapts(scenario: Json) -> bool:
    return _trains(scenario) and "lora" in _spec(scenario).methods


def _several(scenario: Json) -> bool:
    return _trains(scenario) and len(IMPLEMENTATIONS.get(get(scenario, "training.optimizer") or "adamw", ())) > 1


PICTURES = (
    VisionSetting("task", "What is done", "task", "few", "train",
                  "A training step, with gradients and optimizer; or one pass without them.", shown=TASKS,
                  only=tuple(TASKS), said=True, compared=()),
    VisionSetting("batch", "Pictures at once", "batch", "ladder", 1,
                  "How many pictures (or latents) go through the model together, on one card.", options.BATCHES),
    VisionSetting("side", "Pixels a side", "image_size", "ladder", 224,
                  "Twice the side is four times the area, and about four times the activations.", SIDES, said=True),
    VisionSetting("accumulate", "Micro-batches per step", "training.grad_accumulation", "ladder", 1,
                  "Gradients of several micro-batches are added up before one step.", training_settings.ACCUMULATION,
                  when=_trains),
)  # fmt: skip
TRAINED = (
    VisionSetting("method", "What is trained", "training.method", "few", "full", TRAINED_PARTS,
                  shown=options.METHODS, lines=training_settings.METHOD_LINES, only=METHODS[:2], when=_has_head),
    VisionSetting("adapt", "What is trained", "training.method", "few", "full", TRAINED_PARTS,
                  shown=options.METHODS, lines=training_settings.METHOD_LINES, only=METHODS, when=_adapts),
    VisionSetting("precision", "Precision", "precision", "choice", "bf16",
                  "The formats of weights, gradients and states.", lines=options.TRAINING_PRECISIONS,
                  only=tuple(options.TRAINING_PRECISIONS), compared=("bf16", "fp32", "bf16-mixed"), when=_trains),
    VisionSetting("infer", "Precision", "precision", "choice", "bf16", "What the model computes in.",
                  lines=options.INFERENCE_PRECISIONS, only=tuple(options.INFERENCE_PRECISIONS), when=_passes),
    VisionSetting("optimizer", "Optimizer", "training.optimizer", "choice", "adamw",
                  "What the optimizer remembers about every trained weight.", lines=options.OPTIMIZERS, when=_trains,
                  compared=("sgd", "sgd-momentum", "adamw-8bit", "lion")),
    VisionSetting("impl", "How it steps", "training.optimizer_impl", "choice", "foreach",
                  "All weights at once (foreach), in one kernel (fused), or one after another (for-loop).",
                  when=_several),
    VisionSetting("checkpointing", "Gradient checkpointing", "training.checkpointing", "switch", "none",
                  options.HELP["checkpointing"], wish="full", when=_checkpoints),
    VisionSetting("ema", "Average of the weights (EMA)", "training.ema", "switch", False,
                  "A moving average of all trained weights is kept beside them.", when=_trains),
)  # fmt: skip
GROUPS = {"Pictures": PICTURES, "What is trained, and how": TRAINED}
ALL = tuple(setting for group in GROUPS.values() for setting in group)


def scenario(name: str, hardware: Json | None, states: Mapping[str, Any]) -> Json:
    """The scenario that the controls mean."""
    start: Json = {"model": MODELS.get(name, MODELS[USUAL]), "task": "train"}
    if hardware:
        start["hardware"] = hardware
    found = fill(start, ALL, states)
    return found if _trains(found) else {**found, "inference": {"runtime": "forward"}}


def follow(name: str, side: Any) -> int | None:
    """The side that goes along when this model is chosen, where the one before was some model's usual one."""
    usual = {spec_of(one).side for one in MODELS}
    return spec_of(name).side if side is None or side in usual else None


def states_of(given: Json) -> bring.Taken:
    """The states of the controls for a scenario that is brought back, and the fields that they cannot say; ValueError
    where it belongs elsewhere."""
    name = name_of(given["model"])
    if name is None:
        raise ValueError(f"its model is none of this page's: try the page {PAGES[bring.task_of(given)]}")
    states, missing = bring.card_states(given)
    states |= {"vision": name, "side": spec_of(name).side}
    for setting in ALL:
        value = get(given, setting.path)
        if value is None or not setting.when(given):
            states.setdefault(setting.key, setting.state(setting.usual))
            continue
        state = setting.state(value)
        if state is None:
            missing.append(setting.path)
        states[setting.key] = setting.state(setting.usual) if state is None else state
    return states, missing
