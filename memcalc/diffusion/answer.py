"""The estimate of an image pipeline: its parts' weights, and the highest instant of encode, denoise and decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.architectures.layers import Base, Maker
from memcalc.diffusion import parts, runs
from memcalc.diffusion.asked import Asked, gguf_block, understood
from memcalc.diffusion.parts import Part
from memcalc.hardware.fit import Device, judge
from memcalc.overhead import BASE, context_bytes, up_to, workspace_bytes
from memcalc.quantisation import SAME, scheme_for
from memcalc.quantisation.scheme import Piece, Scheme
from memcalc.scenario.settings import Hardware
from memcalc.stages import Stage, breakdown, component_peaks
from memcalc.units import MiB

DECODE_RESERVED = (2.4, 2.85, 3.5)
"""Reserved memory of the VAE's decode over the decode's own tensors: what torch's allocator holds for tensors, for
cuDNN's convolution workspaces (copies in channels-last layout among them) and in blocks of the sizes of earlier levels.
The middle is the published FLUX.1-dev row in bf16 (36.166 GiB reserved on an H100, 1024 pixels); the ends are the other
rows of the same table, less their weights. One resolution, one card: not known elsewhere."""
CONVOLUTION = (0.0, 0.5, 1.5)
"""Convolution workspaces of the decode over its tensors, at the highest instant: assumed (none; the largest result
copied once; input and result in channels-last and in fp32), no published figure."""
SLACK = (1.0, 1.015, 1.175)
"""reserved / (allocated + BASE): low, usual, worst, of generations replayed through a simulated caching allocator; a
pipeline's own passes were not replayed."""
TILE = 1024
"""Pixels a side of a tile [AutoencoderKL: tile_sample_min_size = sample_size, 1024 for FLUX.1]."""


Sums = dict[str, tuple[int, int, int]]
"""(low, point, high) of ``allocated``, ``reserved`` and ``device``, in bytes."""


@dataclass(frozen=True, slots=True)
class GgufBlocks(Scheme):
    """Every matrix in blocks of one GGUF type; a row that does not divide stays in 16 bits."""

    block: tuple[int, int] = (32, 34)

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        count, size = self.block
        if inputs % count:
            return (Piece("values", 2 * inputs * outputs, f"{inputs * outputs:,} × 2 B"),)
        blocks = inputs * outputs // count
        return (Piece("blocks", blocks * size, f"{blocks:,} × {size} B"),)


def estimate_pipeline(scenario: Mapping[str, Any], device: Callable[[Hardware], Device | None]) -> dict[str, Any]:
    """The fields of an estimate. ``device``: finds the card to judge against, from the hardware that was asked for."""
    asked = understood(scenario)
    card = device(asked.hardware)
    whole = _parts(asked)
    stages = _stages(asked, whole)
    by_phase = [_sums(one, card.capability if card else 8.0) for one in stages]
    sums = _largest(by_phase)
    at = max(stages, key=lambda one: one.peak)
    listed = [_phase(one, own, whole, asked.offload) for one, own in zip(stages, by_phase, strict=True)]
    fit = judge(card, asked.hardware, sums["device"]) if card else None
    total = sum(one.count for one in whole)
    return {
        "scenario": asked.as_dict(),
        "method": "program",
        "parameters": {
            "total": total,
            "trainable": total,
            "embedding": parts.T5_VOCAB * parts.T5_WIDTH + (parts.CLIP_VOCAB + parts.CLIP_TOKENS) * parts.CLIP_WIDTH,
            "active": total,
        },
        "persistent": sum(one.bytes for one in whole),
        "peak": {
            "tensors": at.peak,
            **{name: part[1] for name, part in sums.items()},
            "phase": at.phase,
            "step": at.step,
        },
        "range": {name: [part[0], part[2]] for name, part in sums.items()},
        "at_peak": breakdown(at),
        "component_peak": component_peaks(stages),
        "phases": listed,
        "overhead": {
            "workspace": sums["allocated"][1] - at.peak,
            "context": sums["device"][1] - sums["reserved"][1],
            "cache": sums["reserved"][1] - sums["allocated"][1],
            "communication": 0,
        },
        "runtime": {
            "name": "diffusers",
            "weights": sum(one.bytes for one in whole),
            "parts": {
                one.name: {
                    "parameters": one.count,
                    "bytes": one.bytes,
                    "phase": one.phase,
                    "format": _format(asked, one.name),
                }
                for one in whole
            },
        },
        "ranks": None,
        "fit": fit,
        "assumptions": [*asked.notes, *_notes(asked), *(card.assumptions if card else ())],
    }


def _phase(one: Stage, own: Sums, whole: list[Part], offload: str) -> dict[str, Any]:
    """A phase as the estimate lists it: with what it needs on the card by itself (the parts take turns, so one phase's
    overhead is not another's), and which weights lie there (bytes by part)."""
    return {
        "name": one.phase,
        "step": one.step,
        "tensors": one.peak,
        "at_peak": breakdown(one),
        "device": own["device"][1],
        "overhead": {
            "workspace": own["allocated"][1] - one.peak,
            "cache": own["reserved"][1] - own["allocated"][1],
            "context": own["device"][1] - own["reserved"][1],
        },
        "weights": _on_card(whole, one.phase, offload),
    }


def _format(asked: Asked, part: str) -> str:
    """How the linear layers of a part are kept."""
    quantised = part == "denoiser" or (part == "text encoder T5-XXL" and not asked.weights.startswith("gguf:"))
    return asked.weights if quantised and asked.weights != SAME else asked.precision


def _on_card(whole: list[Part], phase: str, offload: str) -> dict[str, int]:
    """Bytes of weights on the card in a phase, by part. Offloaded, one model at a time (the text encoders take turns)
    [enable_model_cpu_offload], or one module at a time [enable_sequential_cpu_offload]: the largest counts."""
    if offload == "none":
        return {one.name: one.bytes for one in whole}
    there = {one.name: one.bytes if offload == "model" else one.largest for one in whole if one.phase == phase}
    largest = max(there, key=lambda name: there[name], default=None)
    return {largest: there[largest]} if largest is not None else {}


def _scheme(weights: str) -> Scheme | None:
    block = gguf_block(weights)
    if block is None:
        return scheme_for(weights)
    return GgufBlocks(weights, weights, "diffusers 0.42 quantizers/gguf/utils.py", "dequantise", block=block)


def _parts(asked: Asked) -> list[Part]:
    """The four parts. Quantised are the transformer and, unless it is a GGUF file, T5."""
    scheme = _scheme(asked.weights)
    base = Base(asked.format, scheme) if scheme else None
    text = base if scheme and not asked.weights.startswith("gguf:") else None
    return [
        parts.clip(Maker(asked.format)),
        parts.t5(Maker(asked.format, base=text)),
        parts.transformer(asked.spec, Maker(asked.format, base=base)),
        parts.vae(Maker(asked.format)),
    ]


def _stages(asked: Asked, whole: list[Part]) -> list[Stage]:
    """Load, encode, denoise and decode, each with the weights that lie on the card then."""
    fmt, scheme = asked.format, _scheme(asked.weights)
    scratch, tile = 0, TILE if asked.tiling else None
    if scheme is not None and scheme.product != "direct":
        scratch = max(one.count for one in whole[2].parameters) * fmt.size
    run = {
        "encode": runs.encode(asked.batch, asked.text, fmt),
        "denoise": runs.denoise(asked.spec, asked.pictures, asked.text, asked.tokens, fmt, scratch),
        "decode": runs.decode(asked.pictures, asked.height, asked.width, fmt, asked.slicing, tile),
    }
    found = [Stage("load", 0, {"weights": sum(_on_card(whole, "load", asked.offload).values())}, [], [])]
    for phase, segments in run.items():
        weights = sum(_on_card(whole, phase, asked.offload).values())
        found.append(Stage(phase, 1, {"weights": weights}, segments, []))
    return found


def _sums(one: Stage, capability: float) -> Sums:
    """What a phase needs by itself above its tensors."""
    _, usual, worst = SLACK
    workspace = workspace_bytes(capability, False)
    own = one.peak - one.level
    extra = CONVOLUTION if one.phase == "decode" else (0.0, 0.0, 0.0)
    taken = [one.peak + round(own * share) + workspace for share in extra]
    allocated = (one.peak, taken[1], taken[2])
    held = DECODE_RESERVED if one.phase == "decode" else (1.0, usual, worst)
    # Weights come in many blocks of few sizes: the usual slack of inference, at worst three times that.
    slack = (1.0, usual, 1 + 3 * (usual - 1))
    more = (0, BASE + workspace, BASE + workspace)
    kept = [round(one.level * slack[i] + own * held[i]) + more[i] for i in range(3)]
    # What is reserved is at least what is allocated.
    low, point, high = (int(up_to(max(allocated[i], kept[i]), 2 * MiB)) for i in range(3))
    context = context_bytes(capability)
    device = (low + context[0], point + context[1], high + context[2])
    return {"allocated": allocated, "reserved": (low, point, high), "device": device}


def _largest(sums: list[Sums]) -> Sums:
    """Each figure's largest over the phases."""
    found = {}
    for name in sums[0]:
        low, point, high = (max(one[name][i] for one in sums) for i in range(3))
        found[name] = (low, point, high)
    return found


def _notes(asked: Asked) -> list[str]:
    notes = [
        f"{asked.spec.name}: with the text encoders and the VAE that FLUX.1 is published with (CLIP-L, the encoder of "
        "T5-XXL, 16 latent channels)",
        f"{asked.pictures} at once, {asked.tokens:,} image and {asked.text} text tokens; guidance is an input of the "
        "model: nothing is doubled; the number of steps does not matter",
        f"VAE decode: reserved is taken as {DECODE_RESERVED[1]:g} times its tensors ({DECODE_RESERVED[0]:g} to "
        f"{DECODE_RESERVED[2]:g}), as in published figures at 1024 pixels on an H100: convolution workspaces and "
        "blocks of other sizes; allocated holds workspaces that are assumed",
        "the transformer and the VAE's decoder follow diffusers' code operator by operator, the text encoders "
        "only their widest moment",
    ]
    if asked.weights != SAME:
        what = "the transformer" if asked.weights.startswith("gguf:") else "the transformer and T5"
        notes.append(
            f"weights: the linear layers of {what} in {asked.weights}; CLIP and the VAE stay in {asked.precision}"
        )
        if not asked.weights.startswith("gguf:"):
            notes.append("T5's wo matrices are not quantised, as in transformers (bitsandbytes: they are in fp32)")
        notes.append("what quantised kernels and loading hold for a moment was read in their source or not at all")
    if asked.offload != "none":
        notes.append(f"offload {asked.offload}: weights wait in host memory; only what runs lies on the card")
    if asked.tiling and max(asked.width, asked.height) <= TILE:
        notes.append(f"VAE tiling changes nothing up to {TILE} pixels a side")
    return notes


__all__ = ["estimate_pipeline"]
