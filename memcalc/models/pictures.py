"""Classifiers of pictures by their names in torchvision and timm, with those packages' own sizes."""

from __future__ import annotations

from typing import Any

from memcalc.architectures.images import ImageSpec
from memcalc.architectures.resnet import WIDTHS, ResNetSpec
from memcalc.errors import ModelError
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


def describe(library: str, name: Any) -> ModelDescription:
    """The model called ``name`` in ``library``; ModelError with the known names for any other."""
    if not isinstance(name, str):
        raise ModelError(f"model.{library} must be a model's name", f"model.{library}", tuple(RESNETS))
    if name not in RESNETS:
        raise ModelError(
            f"no program yet for {library}'s model {name[:60]!r}: with {library} installed, the tracer can follow it",
            f"model.{library}",
            tuple(RESNETS),
        )
    return ModelDescription(name, _resnet(library, RESNETS[name]), source=f"{library}'s own definition of {name}")


def _resnet(library: str, sizes: dict[str, Any]) -> ImageSpec:
    expansion = sizes.get("expansion", 4)
    return ResNetSpec(**common("resnet", WIDTHS[-1] * expansion, sum(sizes["depths"])), library=library, **sizes)


def common(family: str, hidden: int, layers: int) -> dict[str, Any]:
    """What every specification has, of which a model that reads no text has little."""
    return {
        "family": family, "vocab": 0, "hidden": hidden, "layers": layers, "heads": 1, "kv_heads": 0, "head_dim": 0,
        "ffn": 0, "max_positions": 1, "activation": "relu", "tied": False,
    }  # fmt: skip
