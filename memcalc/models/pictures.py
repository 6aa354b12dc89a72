"""Classifiers of pictures by their names in torchvision and timm, with those packages' own sizes."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from memcalc.architectures.images import ImageSpec
from memcalc.architectures.resnet import WIDTHS, ResNetSpec
from memcalc.errors import ModelError
from memcalc.models import vits
from memcalc.models.description import ModelDescription

RESNETS: dict[str, dict[str, Any]] = {
    "resnet18": {"depths": (2, 2, 2, 2), "expansion": 1},
    "resnet34": {"depths": (3, 4, 6, 3), "expansion": 1},
    "resnet50": {"depths": (3, 4, 6, 3)},
    "resnet101": {"depths": (3, 4, 23, 3)},
    "resnet152": {"depths": (3, 8, 36, 3)},
    "resnext50_32x4d": {"depths": (3, 4, 6, 3), "groups": 32, "base_width": 4},
    "resnext101_32x8d": {"depths": (3, 4, 23, 3), "groups": 32, "base_width": 8},
    "resnext101_64x4d": {"depths": (3, 4, 23, 3), "groups": 64, "base_width": 4},
    "wide_resnet50_2": {"depths": (3, 4, 6, 3), "base_width": 128},
    "wide_resnet101_2": {"depths": (3, 4, 23, 3), "base_width": 128},
}
"""Depth, width and groups [torchvision 0.28 models/resnet.py; timm 1.0 models/resnet.py has the same under these
names]."""

LIBRARIES = ("timm", "torchvision")


def names(library: str) -> tuple[str, ...]:
    """The models of ``library`` that have a program."""
    return tuple(RESNETS) + tuple(vits.NAMES[library])


def describe(library: str, name: Any) -> ModelDescription:
    """The model called ``name`` in ``library``; ModelError with the known names for any other."""
    if not isinstance(name, str):
        raise ModelError(f"model.{library} must be a model's name", f"model.{library}", names(library))
    if name in RESNETS:
        spec = _resnet(library, RESNETS[name])
    elif name in vits.NAMES[library]:
        spec = vits.described(library, name)
    else:
        raise ModelError(
            f"no program yet for {library}'s model {name[:60]!r}: with {library} installed, the tracer can follow it",
            f"model.{library}",
            get_close_matches(name, names(library), n=5, cutoff=0.5) or names(library),
        )
    return ModelDescription(name, spec, source=f"{library}'s own definition of {name}")


def _resnet(library: str, sizes: dict[str, Any]) -> ImageSpec:
    hidden = WIDTHS[-1] * sizes.get("expansion", 4)
    layers = sum(sizes["depths"])
    return ResNetSpec("resnet", 0, hidden, layers, 1, 0, 0, 0, 1, "relu", False, library=library, **sizes)
