"""Where a model's description comes from: the catalogue, a config.json, the Hub, files of weights, a number of
parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcalc.diffusion.spec import find as pipeline_named
from memcalc.errors import ModelError
from memcalc.models import catalogue, config, denoisers, generic, pictures, portable
from memcalc.models.description import ModelDescription
from memcalc.models.files import gguf, hub, safetensors

KINDS = ("config", "parameters", "hub", "gguf", "safetensors", *pictures.LIBRARIES)
PIPELINE = (
    "this is an image pipeline: memcalc.estimate, the commands estimate, fit, advise, sweep and compare, and the page "
    "Images take it; timelines, traces and training do not"
)
"""For whatever asks for a language model's description."""


def describe(model: Any, allow_files: bool = True) -> ModelDescription:
    """Understand the scenario's ``model``: a catalogue name, a path to a config.json (only if ``allow_files``),
    or an object with one of ``KINDS``."""
    if isinstance(model, str):
        if pipeline_named(model):
            raise ModelError(PIPELINE, "model")
        if allow_files and (model.endswith(".json") or "\\" in model or model.startswith(("/", "./", "../", "~"))):
            return _from_file(model)
        return catalogue.describe(model)
    if not isinstance(model, Mapping):
        raise ModelError("model must be a name or an object", "model", KINDS)
    named = [one for one in model if model[one] is not None and one not in portable.BESIDE]
    if len(named) != 1:
        raise ModelError("model must have exactly one of the choices", "model", KINDS)
    kind = named[0]
    if kind == "config":
        return portable.describe(model)
    if kind == "parameters":
        return generic.describe(model["parameters"])
    if kind == "hub":
        return hub.describe(model["hub"], allow_files)
    if kind == "gguf":
        return gguf.describe(model["gguf"], allow_files)
    if kind == "safetensors":
        return safetensors.describe(model["safetensors"], allow_files)
    if kind == "diffusers":
        if denoisers.is_denoiser(model):
            return denoisers.describe(model["diffusers"])
        raise ModelError(PIPELINE, "model.diffusers", KINDS)
    if kind in pictures.LIBRARIES:
        return pictures.describe(kind, model[kind])
    raise ModelError(f"unknown field model.{kind}", f"model.{kind}", KINDS)


def _from_file(path: str) -> ModelDescription:
    place = Path(path).expanduser()
    if place.is_dir():
        place = place / "config.json"
    try:
        if place.stat().st_size > config.LARGEST:
            raise ModelError(f"{place.name} is larger than {config.LARGEST // 2**20} MiB: no config.json", "model")
        parsed = json.loads(place.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}", "model") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}", "model") from error
    return config.describe(parsed, place.parent.name or place.stem)


__all__ = ["ModelDescription", "describe"]
