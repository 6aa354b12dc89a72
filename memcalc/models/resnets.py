"""ResNet, ResNeXt and wide ResNet by their names in timm and torchvision."""

from __future__ import annotations

from typing import Any

from memcalc.architectures.resnet import WIDTHS, ResNetSpec

SIZES: dict[str, dict[str, Any]] = {
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

NAMES = {"timm": SIZES, "torchvision": SIZES}


def described(library: str, name: str) -> ResNetSpec:
    """The model called ``name`` in ``library``."""
    sizes = SIZES[name]
    hidden, layers = WIDTHS[-1] * sizes.get("expansion", 4), sum(sizes["depths"])
    return ResNetSpec("resnet", 0, hidden, layers, 1, 0, 0, 0, 1, "relu", False, library=library, **sizes)
