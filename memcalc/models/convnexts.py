"""ConvNeXt by its names in timm and torchvision."""

from __future__ import annotations

from memcalc.architectures.convnext import ConvNeXtSpec

Sizes = tuple[tuple[int, ...], tuple[int, ...]]
"""Blocks and channels of the four stages."""

SHARED: dict[str, Sizes] = {
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnext_large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
}
"""Under these names in both [timm 1.0 models/convnext.py; torchvision 0.28 models/convnext.py]."""

LARGER: dict[str, Sizes] = {
    "convnext_xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
    "convnext_xxlarge": ((3, 4, 30, 3), (384, 768, 1536, 3072)),
}
"""timm's alone."""

NAMES: dict[str, dict[str, Sizes]] = {"timm": SHARED | LARGER, "torchvision": SHARED}

SIDES = {"convnext_xxlarge": 256}
"""Pixels a side where not 224."""


def described(library: str, name: str) -> ConvNeXtSpec:
    """The model called ``name`` in ``library``."""
    depths, widths = NAMES[library][name]
    return ConvNeXtSpec(
        f"{library}_convnext", 0, widths[-1], sum(depths), 1, 0, 0, 0, 1, "gelu", False, side=SIDES.get(name, 224),
        library=library, depths=depths, widths=widths,
    )  # fmt: skip
