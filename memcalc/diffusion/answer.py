"""The estimate of an image pipeline: its parts' weights, and the highest instant of encode, denoise and decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from memcalc.architectures.layers import Base, Maker
from memcalc.diffusion.asked import Asked, gguf_block, understood
from memcalc.diffusion.checker import safety_checker
from memcalc.diffusion.parts import Part
from memcalc.diffusion.text import encode
from memcalc.formats import Format
from memcalc.hardware.fit import Device, judge
from memcalc.overhead import BASE, UNEXPLAINED, context_bytes, up_to, workspace_bytes
from memcalc.quantisation import SAME, scheme_for
from memcalc.quantisation.scheme import Piece, Scheme
from memcalc.scenario.settings import Hardware
from memcalc.stages import Stage, breakdown, component_peaks
from memcalc.tensors.ops.quantised import QuantisedParameter
from memcalc.units import MiB

WORKSPACE = (0.0, 1.85, 2.8)
"""What cuDNN's convolutions take in the VAE's decode (workspaces, copies in channels-last layout) and what is reserved
in blocks of other sizes, over the decode's tensors for one picture. Published: 1.85 (FLUX.1-dev in bf16 on an H100:
36.166 GiB reserved), 1.88 (SDXL in fp16, its VAE in fp32, on an A100: 15.40 GiB allocated with VAE slicing), 0.64
(SD3 in fp16 on an A100: 18.765 GiB allocated); four pictures of SDXL at once took 0.98 or 2.6 of one picture's, one
with sequential offload 2.8 [huggingface/blog diffusers-quantization.md, simple_sdxl_optimizations.md, sd3.md]. Where
the memory for one algorithm is not there, torch tries the next, down to one that needs none [torch
aten/src/ATen/native/cudnn/Conv_v8.cpp: try_plans]: the low end. What cuDNN picks on another card is not modelled."""
WORKSPACE_ALLOCATED = {Format.FP32: 1.85}
"""The middle of it for what is allocated, without the blocks of other sizes, by the VAE's format."""
WORKSPACE_ALLOCATED_16 = 1.0
"""The same in 16 bits: between SD3's 0.64 and FLUX.1's 1.85, of which some is reserved only."""
SLACK = (1.0, 1.015, 1.175)
"""reserved / (allocated + BASE): low, usual, worst, of generations replayed through a simulated caching allocator; a
pipeline's own passes were not replayed."""


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
    by_phase = [_sums(one, asked, card.capability if card else 8.0) for one in stages]
    sums = _largest(by_phase)
    at = max(stages, key=lambda one: one.peak)
    listed = [_phase(one, own, whole, asked) for one, own in zip(stages, by_phase, strict=True)]
    fit = judge(card, asked.hardware, sums["device"]) if card else None
    total = sum(one.count for one in whole)
    return {
        "scenario": asked.as_dict(),
        "method": "program",
        "parameters": {
            "total": total,
            "trainable": total,
            "embedding": sum(one.embedding for one in asked.encoders),
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
            "latents": asked.rows,
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


def _phase(one: Stage, own: Sums, whole: list[Part], asked: Asked) -> dict[str, Any]:
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
        "weights": _on_card(whole, one.phase, asked),
    }


def _format(asked: Asked, part: str) -> str:
    """How the linear layers of a part are kept."""
    quantised = part == "denoiser" or (part == "text encoder T5-XXL" and asked.quantised)
    return asked.weights if quantised and asked.weights != SAME else asked.precision


def _on_card(whole: list[Part], phase: str, asked: Asked) -> dict[str, int]:
    """Bytes of weights on the card in a phase, by part. Offloaded, one model at a time [enable_model_cpu_offload], or
    one module at a time [enable_sequential_cpu_offload]: the largest counts. The safety checker is not offloaded
    [_exclude_from_cpu_offload].

    A model that comes sends away the one before it, and the first has none before it: where the text encoders run once
    more for the negative prompt, the last is still there while the others have their turn [accelerate hooks.py:
    CpuOffload.pre_forward]. Published: 12.06 GiB for SD3 (huggingface/blog sd3.md), T5 and OpenCLIP bigG."""
    now = [one.running if one.running and one.phase == phase else one for one in whole]
    if asked.offload == "none":
        return {one.name: one.bytes for one in now}
    stays = {one.name: one.bytes for one in now if one.stays}
    there = [one for one in now if one.phase == phase and not one.stays]
    if asked.offload == "sequential":
        there = [max(there, key=lambda one: one.largest)] if there else []
        return {**stays, **{one.name: one.largest for one in there}}
    largest = [max(there, key=lambda one: one.bytes)] if there else []
    if phase == "encode" and asked.turns:
        largest = [max(there[:-1], key=lambda one: one.bytes), there[-1]]
    return {**stays, **{one.name: one.bytes for one in largest}}


def _scheme(weights: str) -> Scheme | None:
    block = gguf_block(weights)
    if block is None:
        return scheme_for(weights)
    return GgufBlocks(weights, weights, "diffusers 0.42 quantizers/gguf/utils.py", "dequantise", block=block)


def _parts(asked: Asked) -> list[Part]:
    """The pipeline's models. Quantised are the denoiser and, unless it is a GGUF file, T5."""
    spec, scheme = asked.spec, _scheme(asked.weights)
    base = Base(asked.format, scheme) if scheme else None
    text = base if asked.quantised else None
    vae = spec.vae.part(Maker(asked.format))
    if asked.upcast:
        vae = replace(vae, running=spec.vae.part(Maker(Format.FP32)))
    return [
        *(one.part(Maker(asked.format, base=text if one.t5 else None)) for one in asked.encoders),
        spec.part(Maker(asked.format, base=base)),
        vae,
        *([safety_checker(Maker(asked.format))] if spec.checker else []),
    ]


def _stages(asked: Asked, whole: list[Part]) -> list[Stage]:
    """Load, encode, denoise and decode, each with the weights that lie on the card then."""
    spec, fmt, scheme = asked.spec, asked.format, _scheme(asked.weights)
    scratch = 0
    if scheme is not None and scheme.product != "direct":
        denoiser = next(one for one in whole if one.name == "denoiser")
        scratch = max(one.count for one in denoiser.parameters if isinstance(one, QuantisedParameter)) * fmt.size
    run = {
        # Where the last encoder stays while the others run, it has run before.
        "encode": encode(asked.encoders[:-1] if asked.turns else asked.encoders, asked.batch, asked.text, fmt),
        "denoise": spec.denoise(asked.rows, asked.text, asked.sides, fmt, scratch),
        "decode": spec.vae.decode(asked.pictures, asked.sides, asked.vae_format, asked.slicing, asked.tiling),
    }
    found = [Stage("load", 0, {"weights": sum(_on_card(whole, "load", asked).values())}, [], [])]
    for phase, segments in run.items():
        weights = sum(_on_card(whole, phase, asked).values())
        found.append(Stage(phase, 1, {"weights": weights}, segments, []))
    return found


def _sums(one: Stage, asked: Asked, capability: float) -> Sums:
    """What a phase needs by itself above its tensors."""
    _, usual, worst = SLACK
    workspace = workspace_bytes(capability, False)
    own = one.peak - one.level
    # Weights come in many blocks of few sizes: the usual slack of inference, at worst three times that.
    loose = (1.0, usual, 1 + 3 * (usual - 1))
    held = [own * share for share in (1.0, usual, worst)]
    taken = [0.0, 0.0, 0.0]
    if one.phase == "decode":
        picture = own / (1 if asked.slicing else asked.pictures)
        held = [own + picture * share for share in WORKSPACE]
        middle = WORKSPACE_ALLOCATED.get(asked.vae_format, WORKSPACE_ALLOCATED_16)
        taken = [picture * share for share in (WORKSPACE[0], middle, WORKSPACE[2])]
    allocated = [one.peak + round(more) + (workspace if i else 0) for i, more in enumerate(taken)]
    allocated[2] += round(one.peak * UNEXPLAINED)
    base = (0, BASE + workspace, BASE + workspace)
    kept = [round(one.level * loose[i] + held[i]) + base[i] for i in range(3)]
    # What is reserved is at least what is allocated.
    low, point, high = (int(up_to(max(allocated[i], kept[i]), 2 * MiB)) for i in range(3))
    context = context_bytes(capability)
    device = (low + context[0], point + context[1], high + context[2])
    return {"allocated": (allocated[0], allocated[1], allocated[2]), "reserved": (low, point, high), "device": device}


def _largest(sums: list[Sums]) -> Sums:
    """Each figure's largest over the phases."""
    found = {}
    for name in sums[0]:
        low, point, high = (max(one[name][i] for one in sums) for i in range(3))
        found[name] = (low, point, high)
    return found


def _notes(asked: Asked) -> list[str]:
    spec = asked.spec
    encoders = " and ".join(one.name for one in asked.encoders)
    known = f"{spec.name}: with the text encoders and the VAE that it is published with ({encoders}, "
    low, middle, high = WORKSPACE
    notes = [
        f"{known}{spec.vae.latents} latent channels)",
        f"{asked.pictures} at once, {spec.tokens(asked.sides):,} positions of a picture and {asked.text} text tokens; "
        "the number of steps does not matter",
        spec.note() if asked.guidance is not False else "no guidance: the denoiser takes each picture once",
        f"VAE decode: convolution workspaces, and blocks of other sizes, are taken as {middle:g} times one picture's "
        f"tensors ({low:g} to {high:g}), as in published figures at 1024 pixels on an A100 and an H100; where "
        "memory is short torch tries algorithms that need less, down to none",
        "the denoiser and the VAE's decoder follow diffusers' code operator by operator, the text encoders "
        "only their widest moment",
    ]
    if asked.upcast:
        notes.append("the VAE runs in fp32, as diffusers has it in a pipeline in fp16; a VAE made for fp16, or bf16, "
                     "halves the decode")  # fmt: skip
    if spec.checker:
        notes.append("the safety checker is loaded, as the pipeline comes; without it (safety_checker=None) its "
                     "weights are saved")  # fmt: skip
    if asked.weights != SAME:
        what = "the denoiser and T5" if asked.quantised and any(one.t5 for one in asked.encoders) else "the denoiser"
        notes.append(
            f"weights: the linear layers of {what} in {asked.weights}; CLIP and the VAE stay in {asked.precision}"
        )
        notes.append("what quantised kernels and loading hold for a moment was read in their source or not at all")
        if asked.offload == "sequential":
            notes.append("whether quantised weights can be offloaded one module at a time was not tried")
    if any(one.t5 for one in asked.encoders) and (asked.quantised or asked.precision == "fp16"):
        notes.append("T5's wo matrices are not quantised, as in transformers; in fp16, or beside bitsandbytes, "
                     "they are in fp32")  # fmt: skip
    if asked.offload != "none":
        notes.append(f"offload {asked.offload}: weights wait in host memory; only what runs lies on the card")
    if asked.tiling and max(asked.sides) <= spec.vae.tile:
        notes.append(f"VAE tiling changes nothing up to {spec.vae.tile} pixels a side")
    return notes


__all__ = ["estimate_pipeline"]
