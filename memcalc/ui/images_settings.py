"""Every setting of an image pipeline. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.diffusion import NAMES, PUBLISHED, understood
from memcalc.diffusion.spec import Pipeline
from memcalc.ui import bring, options
from memcalc.ui.form import Json, Setting, fill, get

MODELS = NAMES
SIDES = (
    256,
    384,
    512,
    640,
    768,
    832,
    896,
    1024,
    1152,
    1216,
    1280,
    1344,
    1536,
    1792,
    1920,
    2048,
    2560,
    3072,
    3840,
    4096,
)
IMAGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
STEPS = (1, 2, 4, 8, 12, 20, 25, 28, 30, 40, 50, 100)
WEIGHTS = {
    "same": "as the precision",
    "int8": "int8 (bitsandbytes)",
    "nf4": "nf4 (bitsandbytes)",
    "nf4-dq": "nf4, double-quantised (bitsandbytes)",
    "torchao-int8": "int8 (torchao)",
    "torchao-float8": "float8 (torchao)",
    "torchao-int4-g128": "int4 (torchao)",
    "quanto-int8": "int8 (quanto)",
    "quanto-float8": "float8 (quanto)",
    "quanto-int4": "int4 (quanto)",
    "gguf:Q8_0": "GGUF Q8_0",
    "gguf:Q6_K": "GGUF Q6_K",
    "gguf:Q5_K": "GGUF Q5_K",
    "gguf:Q4_K": "GGUF Q4_K",
    "gguf:Q4_0": "GGUF Q4_0",
    "gguf:Q3_K": "GGUF Q3_K",
    "gguf:Q2_K": "GGUF Q2_K",
}
OFFLOADS = {
    "none": "everything on the card",
    "model": "one model at a time",
    "sequential": "one layer at a time",
}
OFFLOAD_LINES = {
    "none": 'pipe.to("cuda"): text encoders, denoiser and VAE stay on the card.',
    "model": "enable_model_cpu_offload: each model comes when it is its turn; some seconds a picture.",
    "sequential": "enable_sequential_cpu_offload: each layer comes when it is its turn; many times slower.",
}


@dataclass(frozen=True)
class PipelineSetting(Setting):
    """A control of an image pipeline, which has fields that language models do not have."""

    def values(self) -> tuple[Any, ...]:
        """Every value the control can take, in the order of its table."""
        if self.kind in ("ladder", "switch"):
            return self.rungs if self.kind == "ladder" else (self.usual, self.wish)
        return self.only or (self.usual,)

    def supported(self) -> bool:
        """The tables here list what the core takes; a test holds them together."""
        return True


def _pipeline(scenario: Json) -> Pipeline:
    return PUBLISHED[str(scenario["model"])][0]


def _doubles(scenario: Json) -> bool:
    return _pipeline(scenario).doubles


def _upcasts(scenario: Json) -> bool:
    return _pipeline(scenario).vae.upcast and get(scenario, "precision") == "fp16"


def _may_lose_t5(scenario: Json) -> bool:
    return _pipeline(scenario).negative


def _gguf(scenario: Json) -> bool:
    return _pipeline(scenario).gguf


def _no_gguf(scenario: Json) -> bool:
    return not _gguf(scenario)


PICTURES = (
    PipelineSetting("wide", "Width", "inference.width", "ladder", 1024, "Pixels across.", SIDES, said=True),
    PipelineSetting("high", "Height", "inference.height", "ladder", 1024, "Pixels down.", SIDES, said=True),
    PipelineSetting("images", "Pictures at once", "inference.images", "ladder", 1,
                    "Images per prompt: they go through the denoiser and the VAE together.", IMAGES),
    PipelineSetting("steps", "Steps", "inference.steps", "ladder", 28,
                    "Steps cost time, not memory: each needs the same and leaves nothing.", STEPS, said=True),
    PipelineSetting("unguided", "Without guidance", "inference.guidance", "switch", True,
                    "With it the denoiser takes every picture twice: with the prompt, and without.", wish=False,
                    when=_doubles),
)  # fmt: skip
NUMBERS = (
    PipelineSetting("infer", "Precision", "precision", "choice", "bf16",
                    "What the models compute in, and how weights are kept that are not quantised.",
                    lines=options.INFERENCE_PRECISIONS, only=tuple(options.INFERENCE_PRECISIONS)),
    PipelineSetting("parts", "Quantised parts", "inference.weights", "choice", "same",
                    "Denoiser and T5 (with a GGUF file, the denoiser alone).", shown=WEIGHTS, only=tuple(WEIGHTS),
                    compared=("same", "int8", "nf4", "torchao-float8", "gguf:Q8_0", "gguf:Q4_K"), when=_gguf),
    PipelineSetting("unet", "Quantised U-Net", "inference.weights", "choice", "same",
                    "The denoiser's linear layers; its convolutions keep the precision.", shown=WEIGHTS,
                    only=tuple(one for one in WEIGHTS if not one.startswith("gguf:")),
                    compared=("same", "int8", "nf4", "torchao-float8"), when=_no_gguf),
    PipelineSetting("fixed", "VAE that works in fp16", "inference.vae_upcast", "switch", True,
                    "SDXL's own overflows in fp16: diffusers runs it in fp32.", wish=False, when=_upcasts),
)  # fmt: skip
PLACES = (
    PipelineSetting("offload", "Weights on the card", "inference.offload", "choice", "none",
                    "What is not on the card waits in the computer's memory.",
                    shown=OFFLOADS, lines=OFFLOAD_LINES, only=tuple(OFFLOADS)),
    PipelineSetting("not5", "Without T5", "inference.t5", "switch", True,
                    "The largest text encoder is not loaded: prompts are followed less well.", wish=False,
                    when=_may_lose_t5),
    PipelineSetting("slicing", "VAE slicing", "inference.vae_slicing", "switch", False,
                    "Pictures are decoded one after another."),
    PipelineSetting("tiling", "VAE tiling", "inference.vae_tiling", "switch", False,
                    "Large pictures are decoded in overlapping tiles, which are blended."),
)  # fmt: skip

GROUPS = {"Pictures": PICTURES, "Numbers": NUMBERS, "Memory savers": PLACES}
ALL = tuple(setting for group in GROUPS.values() for setting in group)


def scenario(model: str, hardware: Json | None, states: Mapping[str, Any]) -> Json:
    """The scenario that the controls mean."""
    start: Json = {"model": model if model in MODELS else MODELS[0], "task": "infer"}
    if hardware:
        start["hardware"] = hardware
    return fill({**start, "inference": {"runtime": "diffusers"}}, ALL, states)


def follow(model: str, states: Mapping[str, Any]) -> dict[str, Any]:
    """The controls that go along when this model is chosen: a size and a number of steps that are some model's usual
    ones become its own; others were chosen by the visitor and stay."""
    usual = [one for one, _ in PUBLISHED.values()]
    chosen = PUBLISHED[model][0]
    found: dict[str, Any] = {}
    side = states.get("wide")
    if side == states.get("high") and side in {one.side for one in usual}:
        found |= {"wide": chosen.side, "high": chosen.side}
    if states.get("steps") in {one.steps for one in usual}:
        found["steps"] = chosen.steps
    return found


def states_of(given: Json) -> bring.Taken:
    """The states of the controls for a scenario that is brought back, and the fields that they cannot say; ValueError
    where it belongs elsewhere."""
    if given["model"] not in MODELS:
        raise ValueError(f"it belongs on the page {'Training' if bring.task_of(given) == 'train' else 'Inference'}")
    filled, usual = understood(given).as_dict(), understood({"model": given["model"]}).as_dict()
    states, missing = bring.card_states(given)
    states["pipeline"] = given["model"]
    for setting in ALL:
        usual_state = setting.state(setting.usual)
        state = setting.state(get(filled, setting.path)) if setting.when(filled) else usual_state
        if state is None:
            missing.append(setting.path)
        states[setting.key] = usual_state if state is None else state
    missing += [path for path in ("batch", "text_len") if filled[path] != usual[path]]
    return states, missing


def effect(sets: Mapping[str, Any]) -> dict[str, Any]:
    """The states of the controls that make a change (fields by dotted path); a size that is no rung becomes the next
    smaller one. Where two controls share a field, both follow as far as they can say it."""
    states: dict[str, Any] = {}
    for path, value in sets.items():
        for setting in (one for one in ALL if one.path == path):
            if setting.kind == "ladder" and value not in setting.rungs:
                value = max((one for one in setting.rungs if one <= value), default=setting.rungs[0])
            state = setting.state(value)
            if state is not None:
                states[setting.key] = state
    return states
