"""Vision transformers by their names in timm and torchvision."""

from __future__ import annotations

from memcalc.architectures.vit import ViTSpec

Size = tuple[int, int, int]
"""Width, blocks and heads."""

SIZES: dict[str, Size] = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
"""timm 1.0 models/vision_transformer.py; the same in deit.py and in torchvision's vision_transformer.py."""


def _timm() -> dict[str, tuple[Size, int, int]]:
    """Name: size, patch and side in pixels."""
    made = {
        f"vit_{size}_patch{patch}_{side}": (SIZES[size], patch, side)
        for size, patch, sides in (
            ("tiny", 16, (224, 384)), ("small", 32, (224, 384)), ("small", 16, (224, 384)), ("small", 8, (224,)),
            ("base", 32, (224, 384)), ("base", 16, (224, 384)), ("base", 8, (224,)), ("large", 32, (224, 384)),
            ("large", 16, (224, 384)), ("large", 14, (224,)), ("huge", 14, (224,)),
        )
        for side in sides
    }  # fmt: skip
    deit = {
        f"deit_{size}_patch16_{side}": (SIZES[size], 16, side)
        for size, side in (("tiny", 224), ("small", 224), ("base", 224), ("base", 384))
    }
    return made | deit


def _torchvision() -> dict[str, tuple[Size, int, int]]:
    named = (("b", "base", 16), ("b", "base", 32), ("l", "large", 16), ("l", "large", 32), ("h", "huge", 14))
    return {f"vit_{letter}_{patch}": (SIZES[size], patch, 224) for letter, size, patch in named}


NAMES: dict[str, dict[str, tuple[Size, int, int]]] = {"timm": _timm(), "torchvision": _torchvision()}


def described(library: str, name: str) -> ViTSpec:
    """The model called ``name`` in ``library``."""
    (hidden, layers, heads), patch, side = NAMES[library][name]
    return ViTSpec(
        f"{library}_vit", 0, hidden, layers, heads, heads, hidden // heads, 4 * hidden, 1, "gelu", False, qkv_bias=True,
        side=side, library=library, patch=patch,
    )  # fmt: skip
