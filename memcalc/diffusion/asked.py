"""Reads a scenario of an image pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.diffusion.spec import Pipeline, find, read
from memcalc.diffusion.text import CLIP_TOKENS, Encoder
from memcalc.errors import ScenarioError
from memcalc.formats import Format
from memcalc.models.denoisers import is_denoiser
from memcalc.quantisation import BLOCKS, SAME, scheme_for
from memcalc.scenario.fields import Fields, shown
from memcalc.scenario.running import read_hardware
from memcalc.scenario.settings import Hardware

OFFLOADS = ("none", "model", "sequential")
PRECISIONS = ("bf16", "fp16", "fp32")
GGUF = tuple(f"gguf:{one}" for one in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"))
"""GGUF types that every matrix of the denoiser is taken to have [diffusers 0.42 quantizers/gguf/utils.py]."""
WEIGHTS = (
    SAME, "int8", "nf4", "nf4-dq", "fp4", "fp8", "torchao-int4-g128", "torchao-int8", "torchao-float8",
    "quanto-int4", "quanto-int8", "quanto-float8", *GGUF,
)  # fmt: skip
LARGEST_SIDE = 16_384


@dataclass(frozen=True, slots=True)
class Asked:
    """The scenario as understood. ``images``: pictures a prompt; ``batch``: prompts; ``guidance``: the denoiser takes
    each picture with the prompt and without (None: the model knows no such thing); ``upcast``: the VAE runs in fp32
    though the rest is in fp16; ``t5``: T5 is there (a pipeline with CLIP beside it may do without)."""

    model: Any
    spec: Pipeline
    format: Format
    precision: str
    batch: int
    width: int
    height: int
    text: int
    weights: str
    images: int
    steps: int
    offload: str
    slicing: bool
    tiling: bool
    guidance: bool | None
    upcast: bool
    t5: bool
    hardware: Hardware
    notes: tuple[str, ...]

    @property
    def pictures(self) -> int:
        """How many are made at once."""
        return self.batch * self.images

    @property
    def rows(self) -> int:
        """How many latents the denoiser takes at once."""
        return self.pictures * (2 if self.guidance else 1)

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The text encoders that are loaded."""
        return tuple(one for one in self.spec.encoders if self.t5 or not one.t5)

    @property
    def turns(self) -> bool:
        """Whether offloaded text encoders take turns twice, for the prompt and for the negative one."""
        return bool(self.offload == "model" and self.guidance and self.spec.negative and len(self.encoders) > 1)

    @property
    def vae_format(self) -> Format:
        """What the VAE computes in."""
        return Format.FP32 if self.upcast else self.format

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def quantised(self) -> bool:
        """Whether T5 is quantised with the denoiser; a GGUF file has the denoiser alone."""
        return self.weights != SAME and not self.weights.startswith("gguf:")

    def as_dict(self) -> dict[str, Any]:
        """The contract's object, defaults filled in."""
        return {
            "model": self.model, "task": "infer", "precision": self.precision, "batch": self.batch,
            "image_size": max(self.width, self.height), "text_len": self.text,
            "inference": {
                "runtime": "diffusers", "weights": self.weights, "width": self.width, "height": self.height,
                "images": self.images, "steps": self.steps, "offload": self.offload,
                "vae_slicing": self.slicing, "vae_tiling": self.tiling, "guidance": self.guidance,
                "vae_upcast": self.upcast, "t5": self.t5,
            },
            "hardware": self.hardware.as_dict() if self.hardware != Hardware() else None,
        }  # fmt: skip


def is_pipeline(scenario: Any) -> bool:
    """Whether a scenario's model is an image pipeline."""
    model = scenario.get("model") if isinstance(scenario, Mapping) else None
    if isinstance(model, str):
        return find(model) is not None
    return isinstance(model, Mapping) and list(model) == ["diffusers"] and not is_denoiser(model)


def understood(raw: Mapping[str, Any]) -> Asked:
    """Check every field; what does not apply to a pipeline is named in ``notes``."""
    top = Fields(raw)
    spec = read(top.get("model"))
    notes: list[str] = []
    if top.choice("task", ("train", "infer"), "infer") == "train":
        raise ScenarioError("training an image pipeline has no program yet", "task", ["infer"])
    precision = top.choice("precision", PRECISIONS, "bf16")
    side = _pixels(top, "image_size", spec.side, spec.multiple)
    text = top.whole("text_len", spec.text_tokens, high=4096)
    if text != spec.text_tokens == CLIP_TOKENS:
        notes.append(f"text_len is ignored: CLIP reads {CLIP_TOKENS} tokens, always")
        text = CLIP_TOKENS
    attention = top.choice("attention", ("sdpa", "flash", "efficient"), "sdpa")
    if attention == "efficient":
        notes.append("attention: what the kernels keep is the same here")
    for name in ("seq_len", "target_len", "attention_mask", "training", "parallel", "expandable_segments"):
        if top.get(name) not in (None, "none", False):
            notes.append(f"{name} is ignored: it does not apply to an image pipeline")
    inference = Fields(top.get("inference") or {}, "inference")
    inference.choice("runtime", ("diffusers",), "diffusers")
    for name in ("prompt_tokens", "new_tokens", "kv_cache", "beams", "logits"):
        if inference.get(name) is not None:
            notes.append(f"inference.{name} is ignored: it does not apply to an image pipeline")
    guidance = inference.flag("guidance", spec.doubles)
    if guidance and not spec.doubles:
        notes.append("guidance: true_cfg_scale runs the denoiser a second time, after the first: nothing is doubled")
    found = Asked(
        raw["model"], spec, Format.named(precision), precision, top.whole("batch", 1),
        _pixels(inference, "width", side, spec.multiple), _pixels(inference, "height", side, spec.multiple), text,
        _weights(inference, spec), inference.whole("images", 1, high=4096),
        inference.whole("steps", spec.steps, high=100_000), inference.choice("offload", OFFLOADS, "none"),
        inference.flag("vae_slicing"), inference.flag("vae_tiling"), guidance if spec.doubles else None,
        inference.flag("vae_upcast", spec.vae.upcast) and precision == "fp16", _with_t5(inference, spec),
        read_hardware(top), tuple(notes),
    )  # fmt: skip
    inference.finish()
    top.finish()
    return found


def _with_t5(read: Fields, spec: Pipeline) -> bool:
    """Whether T5 is loaded; SD3 is made to do without."""
    there = any(one.t5 for one in spec.encoders)
    wanted = read.flag("t5", there)
    if there and not wanted and not spec.negative:
        raise ScenarioError(f"{spec.name} cannot do without T5", read.at("t5"), [True])
    return there and wanted


def _pixels(read: Fields, name: str, otherwise: int, multiple: int) -> int:
    """A side of the picture: as ``image_size`` for both, or as diffusers' own ``width`` and ``height``."""
    side = read.whole(name, otherwise, low=64, high=LARGEST_SIDE)
    if side % multiple:
        raise ScenarioError(f"{name} must be a multiple of {multiple}, not {side}", read.at(name))
    return side


def _weights(read: Fields, spec: Pipeline) -> str:
    value = read.get("weights")
    value = SAME if value is None else value
    if isinstance(value, str) and value.startswith("gguf:") and not spec.gguf:
        choices = [one for one in WEIGHTS if one not in GGUF]
        raise ScenarioError(f"diffusers reads no GGUF files of {spec.model}", "inference.weights", choices)
    if isinstance(value, str) and (value == SAME or value in GGUF or scheme_for(value) is not None):
        if value in WEIGHTS or value.startswith("torchao-int4"):
            return value
        raise ScenarioError(f"diffusers has no weights in {value}", "inference.weights", WEIGHTS)
    raise ScenarioError(
        f"inference.weights must be one of the choices, not {shown(value)}", "inference.weights", WEIGHTS
    )


def gguf_block(weights: str) -> tuple[int, int] | None:
    """(values, bytes) of a block of ``gguf:TYPE``; None for other formats.

    >>> gguf_block("gguf:Q8_0")
    (32, 34)
    """
    return BLOCKS[weights.removeprefix("gguf:")] if weights.startswith("gguf:") else None
