"""What FLUX.1 is made of, read from a diffusers configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.errors import ModelError

FIELD = "model.diffusers"
CLASSES = ("FluxPipeline", "FluxTransformer2DModel")
NAMES = {
    "FLUX.1-dev": {"_class_name": "FluxTransformer2DModel", "guidance_embeds": True},
    "FLUX.1-schnell": {"_class_name": "FluxTransformer2DModel", "guidance_embeds": False},
}
"""Published models: everything but the guidance is the class's default [diffusers 0.42
models/transformers/transformer_flux.py; the repositories' transformer/config.json]."""


@dataclass(frozen=True, slots=True)
class FluxSpec:
    """The transformer's sizes. ``text_tokens``: what the pipeline gives T5 (dev 512, schnell 256)."""

    name: str
    layers: int = 19
    single_layers: int = 38
    heads: int = 24
    head_dim: int = 128
    in_channels: int = 64
    text_width: int = 4096
    pooled_width: int = 768
    guidance: bool = True

    @property
    def width(self) -> int:
        """Values of a token between the blocks."""
        return self.heads * self.head_dim

    @property
    def text_tokens(self) -> int:
        """Text tokens by default [FluxPipeline: max_sequence_length 512; schnell's own limit is 256]."""
        return 512 if self.guidance else 256


_SIZES = {
    "num_layers": "layers",
    "num_single_layers": "single_layers",
    "num_attention_heads": "heads",
    "attention_head_dim": "head_dim",
    "in_channels": "in_channels",
    "joint_attention_dim": "text_width",
    "pooled_projection_dim": "pooled_width",
}


def read(model: Any) -> FluxSpec:
    """The specification of a published name or of ``{"diffusers": {…}}``; ModelError for other pipelines."""
    if isinstance(model, str):
        return _from(next(one for one in NAMES if one.casefold() == model.strip().casefold()), NAMES)
    config = model["diffusers"]
    if not isinstance(config, Mapping):
        raise ModelError("a diffusers config.json must be a JSON object", FIELD)
    kind = config.get("_class_name")
    if kind not in CLASSES:
        raise ModelError(f"no program yet for the diffusers class {str(kind)[:60]!r}", f"{FIELD}._class_name", CLASSES)
    return _from(str(kind), {str(kind): config})


def _from(name: str, configs: Mapping[str, Mapping[str, Any]]) -> FluxSpec:
    config = configs[name]
    found: dict[str, Any] = {}
    for field, own in _SIZES.items():
        value = config.get(field)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 100_000:
            raise ModelError(f"{field} must be a whole number from 1 to 100,000", f"{FIELD}.{field}")
        found[own] = value
    if config.get("patch_size", 1) != 1:
        raise ModelError("FLUX.1 with patches has no program", f"{FIELD}.patch_size", [1])
    guidance = config.get("guidance_embeds", config["_class_name"] == "FluxPipeline")
    if not isinstance(guidance, bool):
        raise ModelError("guidance_embeds must be true or false", f"{FIELD}.guidance_embeds", [True, False])
    return FluxSpec(name, **found, guidance=guidance)
