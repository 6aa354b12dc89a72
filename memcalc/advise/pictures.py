"""The changes that an image pipeline offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memcalc.advise import costs
from memcalc.advise.changes import Change, Now, set_to

Maker = Callable[[Now], Iterator[Change]]

_WEIGHTS = (
    ("int8", 8, "Denoiser (and T5) in int8 (bitsandbytes)"),
    ("torchao-float8", 8, "Denoiser (and T5) in float8 (torchao)"),
    ("nf4", 4, "Denoiser (and T5) in nf4 (bitsandbytes)"),
    ("nf4-dq", 4, "Denoiser (and T5) in nf4, double-quantised"),
    ("gguf:Q8_0", 8, "Denoiser from a GGUF file, Q8_0"),
    ("gguf:Q4_K", 4, "Denoiser from a GGUF file, Q4_K"),
)
_LEAST_SIDE = 512
"""Pixels: below it these models draw badly, so smaller pictures are not offered."""


def _bits(weights: str) -> int:
    return 16 if weights == "same" else next((bits for name, bits, _ in _WEIGHTS if name == weights), 8)


def _formats(now: Now) -> Iterator[Change]:
    """Weights in fewer bits."""
    if now.get("precision") == "fp32":
        yield set_to("precision-bf16", "precision", "Everything in bf16", costs.IMAGES_16, precision="bf16")
    if now.get("inference.vae_upcast"):
        yield set_to("vae-16", "vae", "A VAE that works in fp16", costs.VAE_16, inference__vae_upcast=False)
    if now.get("inference.t5"):
        yield set_to("no-t5", "t5", "Without T5", costs.NO_T5, inference__t5=False)
    held = _bits(str(now.get("inference.weights")))
    for name, bits, title in _WEIGHTS:
        if bits < held:
            cost = costs.IMAGES_8 if bits == 8 else costs.IMAGES_4
            yield set_to(f"weights-{name}", "weights", title, cost, inference__weights=name)


def _offload(now: Now) -> Iterator[Change]:
    """Weights that wait in the computer's memory."""
    held = now.get("inference.offload")
    if held == "none":
        yield set_to("offload-model", "offload", "Model offload", costs.MODEL_OFFLOAD, inference__offload="model")
    if held != "sequential":
        yield set_to("offload-sequential", "offload", "Sequential offload", costs.SEQUENTIAL_OFFLOAD,
                     inference__offload="sequential")  # fmt: skip


def _decode(now: Now) -> Iterator[Change]:
    """The VAE in parts."""
    if not now.get("inference.vae_slicing"):
        yield set_to("vae-slicing", "slicing", "VAE slicing", costs.VAE_SLICING, inference__vae_slicing=True)
    if not now.get("inference.vae_tiling"):
        yield set_to("vae-tiling", "tiling", "VAE tiling", costs.VAE_TILING, inference__vae_tiling=True)


def _less(now: Now) -> Iterator[Change]:
    """Fewer or smaller pictures."""
    images = int(now.get("inference.images") or 1)
    if images > 1:
        yield set_to("half-images", "images", f"{images // 2:,} pictures at once", costs.FEWER_PICTURES,
                     inference__images=images // 2)  # fmt: skip
    if now.get("inference.guidance"):
        yield set_to("no-guidance", "guidance", "No guidance", costs.NO_GUIDANCE, inference__guidance=False)
    width, height = (int(now.get(f"inference.{side}")) for side in ("width", "height"))
    smaller = [max(_LEAST_SIDE, side * 3 // 4 // 64 * 64) for side in (width, height)]
    if smaller[0] <= width and smaller[1] <= height and smaller[0] * smaller[1] < width * height:
        yield set_to("smaller", "size", f"{smaller[0]:,} × {smaller[1]:,} pixels", costs.SMALLER_PICTURES,
                     inference__width=smaller[0], inference__height=smaller[1])  # fmt: skip


MAKERS: tuple[Maker, ...] = (_formats, _offload, _decode, _less)
