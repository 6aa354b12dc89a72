"""Which pipelines there are, by name or by a diffusers configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.diffusion.flux import FluxSpec
from memcalc.diffusion.mmdit import Sd3Spec
from memcalc.diffusion.text import CLIP_G, CLIP_L
from memcalc.diffusion.unet import UNetSpec
from memcalc.diffusion.vae import Vae
from memcalc.errors import ModelError

FIELD = "model.diffusers"
Pipeline = FluxSpec | Sd3Spec | UNetSpec
"""A pipeline: its parts, what it makes by default, and one pass of its denoiser."""

SD15 = UNetSpec("SD-1.5", "StableDiffusionPipeline", (CLIP_L,), Vae(4, 512, mixed=True), 512, 50,
                (320, 640, 1280, 1280), (1, 1, 1, 0), 768, (8, 8, 8, 8), checker=True)  # fmt: skip
SDXL = UNetSpec("SDXL", "StableDiffusionXLPipeline", (CLIP_L, CLIP_G), Vae(4, 1024, mixed=True, upcast=True), 1024, 50,
                (320, 640, 1280), (0, 2, 10), 2048, (5, 10, 20), linear=True, added=2816)  # fmt: skip
PUBLISHED: dict[str, tuple[Pipeline, str]] = {
    "FLUX.1-dev": (FluxSpec("FLUX.1-dev"), "black-forest-labs/FLUX.1-dev"),
    "FLUX.1-schnell": (FluxSpec("FLUX.1-schnell", guidance=False), "black-forest-labs/FLUX.1-schnell"),
    "SDXL": (SDXL, "stabilityai/stable-diffusion-xl-base-1.0"),
    "SD-1.5": (SD15, "stable-diffusion-v1-5/stable-diffusion-v1-5"),
    "SD3-medium": (Sd3Spec("SD3-medium"), "stabilityai/stable-diffusion-3-medium-diffusers"),
    "SD3.5-medium": (Sd3Spec("SD3.5-medium", positions=384, dual=13, normed=True),
                     "stabilityai/stable-diffusion-3.5-medium"),
    "SD3.5-large": (Sd3Spec("SD3.5-large", 38, 38, normed=True), "stabilityai/stable-diffusion-3.5-large"),
}  # fmt: skip
"""Published pipelines and where they lie; sizes are those of the repositories' model configurations, which for most are
the class's defaults [diffusers 0.42 models/transformers, models/unets]."""
NAMES = tuple(PUBLISHED)
CLASSES = ("FluxPipeline", "FluxTransformer2DModel", "SD3Transformer2DModel", "StableDiffusionPipeline",
           "StableDiffusionXLPipeline")  # fmt: skip
_FLUX = {
    "num_layers": "layers",
    "num_single_layers": "single_layers",
    "num_attention_heads": "heads",
    "attention_head_dim": "head_dim",
    "in_channels": "in_channels",
    "joint_attention_dim": "text_width",
    "pooled_projection_dim": "pooled_width",
}
_SD3 = {**{name: own for name, own in _FLUX.items() if name != "num_single_layers"}, "pos_embed_max_size": "positions"}


def find(name: str) -> str | None:
    """The published name that is meant, or None."""
    return next((one for one in NAMES if one.casefold() == name.strip().casefold()), None)


def read(model: Any) -> Pipeline:
    """The pipeline of a published name or of ``{"diffusers": {…}}``; ModelError for others."""
    if isinstance(model, str):
        return PUBLISHED[str(find(model))][0]
    config = model["diffusers"]
    if not isinstance(config, Mapping):
        raise ModelError("a diffusers config.json must be a JSON object", FIELD)
    kind = config.get("_class_name")
    if kind in ("FluxPipeline", "FluxTransformer2DModel"):
        return _flux(str(kind), config)
    if kind == "SD3Transformer2DModel":
        return _sd3(config)
    if kind == "StableDiffusionPipeline":
        return SD15
    if kind == "StableDiffusionXLPipeline":
        return SDXL
    raise ModelError(f"no program yet for the diffusers class {str(kind)[:60]!r}{_why(kind)}", f"{FIELD}._class_name",
                     CLASSES)  # fmt: skip


def _why(kind: Any) -> str:
    """What to say besides about a class that is known to be out of reach."""
    name = str(kind)
    if any(word in name for word in ("Video", "Wan", "LTX", "CogVideo", "Mochi", "Hunyuan", "3DTransformer", "3D")):
        return ": models that make videos have a third dimension in every map, and VAEs of their own"
    return ""


def _flux(name: str, config: Mapping[str, Any]) -> FluxSpec:
    found = _sizes(config, _FLUX)
    if config.get("patch_size", 1) != 1:
        raise ModelError("FLUX.1 with patches has no program", f"{FIELD}.patch_size", [1])
    return FluxSpec(name, **found, guidance=_flag(config, "guidance_embeds", name == "FluxPipeline"))


def _sd3(config: Mapping[str, Any]) -> Sd3Spec:
    found = _sizes(config, _SD3)
    if config.get("patch_size", 2) != 2:
        raise ModelError("only patches of 2 × 2 latents have a program", f"{FIELD}.patch_size", [2])
    dual = config.get("dual_attention_layers") or ()
    if not isinstance(dual, list | tuple) or list(dual) != list(range(len(dual))):
        raise ModelError("dual_attention_layers must be the first blocks, in order",
                         f"{FIELD}.dual_attention_layers")  # fmt: skip
    norm = config.get("qk_norm")
    if norm not in (None, "rms_norm"):
        raise ModelError("no program for that norm of queries and keys", f"{FIELD}.qk_norm", [None, "rms_norm"])
    return Sd3Spec("SD3Transformer2DModel", **found, dual=len(dual), normed=norm is not None)


def _flag(config: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    value = config.get(name, otherwise)
    if not isinstance(value, bool):
        raise ModelError(f"{name} must be true or false", f"{FIELD}.{name}", [True, False])
    return value


def _sizes(config: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, own in known.items():
        value = config.get(field)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 100_000:
            raise ModelError(f"{field} must be a whole number from 1 to 100,000", f"{FIELD}.{field}")
        found[own] = value
    return found
