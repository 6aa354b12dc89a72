"""An estimate turned into what the page shows: one bar a phase, each with the same named parts.

Bars are at the level of the driver, since that is what a card has to hold: a phase's live tensors by
component, plus the overhead above them (library workspaces, what the allocator keeps in reserve, the
CUDA context, communication buffers). The overhead is shown alike on every bar of a run: the allocator
does not give its reserve back between phases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.diffusion import is_pipeline
from memcalc.ui.colours import COMPONENTS, OVERHEAD

PHASE_LABELS = {
    "load": "load",
    "forward": "forward pass",
    "backward": "backward pass",
    "optimizer": "optimizer step",
    "prefill": "prefill (read the prompt)",
    "decode": "decode (write new tokens)",
    "encode": "encode (read the prompt)",
    "denoise": "denoise (every step)",
}
PIPELINE_LABELS = {
    "encode": PHASE_LABELS["encode"],
    "denoise": PHASE_LABELS["denoise"],
    "decode": "decode (latents to pixels)",
}
"""The phases of an image pipeline: the last has the name of another one of a language model."""
SHOWN_PHASES = {"train": ("forward", "backward", "optimizer"), "infer": ("forward", "prefill", "decode")}
OVERHEAD_LABELS = {
    "workspace": "library workspaces",
    "cache": "allocator's reserve",
    "context": "CUDA context",
    "communication": "communication buffers",
}


@dataclass(frozen=True)
class Bar:
    """One phase of one run, in bytes."""

    phase: str
    parts: Mapping[str, int]  # every component, and "overhead"
    highest: bool
    named: str = ""  # its label, where another than the phase's usual one
    above: Mapping[str, int] | None = None  # the parts of its own overhead, where phases differ in it
    weights: Mapping[str, int] | None = None  # which weights lie on the card, where phases differ in it

    @property
    def label(self) -> str:
        return self.named or PHASE_LABELS.get(self.phase, self.phase)

    @property
    def short(self) -> str:
        """The label without its explanation in brackets."""
        return self.label.split(" (")[0]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Run:
    """One task (training or inference) as the page shows it: the estimate and its bars."""

    title: str
    estimate: Mapping[str, Any]
    bars: tuple[Bar, ...]

    @property
    def peak(self) -> Bar:
        return next(bar for bar in self.bars if bar.highest)

    @property
    def device(self) -> int:
        return self.estimate["peak"]["device"]

    @property
    def range(self) -> tuple[int, int]:
        low, high = self.estimate["range"]["device"]
        return low, high

    @property
    def overhead(self) -> dict[str, int]:
        """The parts of the overhead that are not zero, in a fixed order."""
        given = self.estimate.get("overhead") or {}
        return {name: given[name] for name in OVERHEAD_LABELS if given.get(name)}


def bars(estimate: Mapping[str, Any]) -> tuple[Bar, ...]:
    """The phases of an estimate as bars, a phase of several steps once, at its largest."""
    if is_pipeline(estimate["scenario"]):
        return _pipeline(estimate)
    task = estimate["scenario"].get("task", "infer")
    largest: dict[str, Mapping[str, Any]] = {}
    for phase in estimate["phases"]:
        known = largest.get(phase["name"])
        if known is None or phase["tensors"] > known["tensors"]:
            largest[phase["name"]] = phase
    names = [name for name in SHOWN_PHASES[task] if name in largest] or list(largest)
    highest = max(names, key=lambda name: largest[name]["tensors"])
    peak = estimate["peak"]
    overhead = max(0, peak["device"] - peak["tensors"])
    return tuple(
        Bar(
            phase=name,
            parts={
                **{part: int(largest[name]["at_peak"].get(part, 0)) for part in COMPONENTS},
                OVERHEAD: overhead,
            },
            highest=name == highest,
        )
        for name in names
    )


def _pipeline(estimate: Mapping[str, Any]) -> tuple[Bar, ...]:
    """The phases of an image pipeline. Its models take turns, so each phase has an overhead of its own, and the card
    is fullest in the phase that needs most with it."""
    phases = [one for one in estimate["phases"] if one["name"] in PIPELINE_LABELS]
    fullest = max(phases, key=lambda one: one["device"])
    return tuple(
        Bar(
            phase=one["name"],
            parts={**{part: int(one["at_peak"].get(part, 0)) for part in COMPONENTS},
                   OVERHEAD: one["device"] - one["tensors"]},
            highest=one is fullest,
            named=PIPELINE_LABELS[one["name"]],
            above={name: one["overhead"][name] for name in OVERHEAD_LABELS if one["overhead"].get(name)},
            weights=one["weights"],
        )
        for one in phases
    )  # fmt: skip


def run(title: str, estimate: Mapping[str, Any]) -> Run:
    """Wrap an estimate (the contract's mapping) for the page."""
    return Run(title=title, estimate=estimate, bars=bars(estimate))


def shown_parts(runs: list[Run]) -> list[str]:
    """Components that are not zero everywhere, in stacking order, overhead last."""
    return [
        part for part in (*COMPONENTS, OVERHEAD) if any(bar.parts.get(part, 0) > 0 for one in runs for bar in one.bars)
    ]
