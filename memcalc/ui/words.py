"""Sentences made of numbers: verdicts, explanations, text alternatives. No Streamlit in here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memcalc import units
from memcalc.ui.colours import LABELS
from memcalc.ui.ledger import Run

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$~:&^=\"'@/])")


def plain(text: object) -> str:
    """Text from outside, made inert for Markdown: no link, emphasis, directive or formula survives."""
    flat = " ".join(str(text).split())
    return _MARKDOWN.sub(r"\\\1", flat)


@dataclass(frozen=True)
class Verdict:
    """What the card says about one run."""

    state: str  # "fits", "tight", "does not fit", or "unknown" when no card was chosen
    headline: str
    detail: str


def card(chosen: str, found: str) -> str:
    """What to call a card: ``16 GB card (GeForce RTX 5070 Ti)``, ``NVIDIA H200 (free now)``, or its name."""
    if chosen.startswith("live:"):
        return f"{found} (free now)"
    size = re.fullmatch(r"(\d+)GB", chosen)
    return f"{size[1]} GB card ({found})" if size else found


def size_of(run: Run) -> str:
    """The peak with its range: ``60.5 GiB (59.3 to 62.9 GiB)``."""
    low, high = (units.binary(size) for size in run.range)
    if low == high:
        return units.binary(run.device)
    same = low.split()[-1] == high.split()[-1]
    return f"{units.binary(run.device)} ({low.split()[0] if same else low} to {high})"


def verdict(run: Run, card: str) -> Verdict:
    """The verdict with its headroom, in words."""
    fit = run.estimate.get("fit")
    peak = f"{size_of(run)} in the {run.peak.short}"
    each = each_card(run)
    if not fit:
        return Verdict("unknown", f"needs {units.binary(run.device)}{each}", f"{peak}.")
    room = fit["headroom"]
    kept = f", of which {units.binary(fit['reserve'])} are to stay free" if fit.get("reserve") else ""
    named = card if card.startswith("your ") else f"the {card.split(' (')[0]}"
    detail = f"{peak}, against {units.binary(fit['capacity'])} on {named}{kept}."
    if fit["verdict"] == "fits":
        return Verdict("fits", f"fits, with {units.binary(room)} to spare{each}", detail)
    if fit["verdict"] == "does not fit":
        return Verdict("does not fit", f"needs {units.binary(-room)} more{each}", detail)
    close = f"{detail} Too close to promise."
    if room >= 0:
        return Verdict("tight", f"is tight: only {units.binary(room)} to spare{each}", close)
    return Verdict("tight", f"is tight: {units.binary(-room)} over{each}, give or take", close)


def each_card(run: Run) -> str:
    """`` on each of 8 cards``; nothing for one card."""
    count = sum(one["count"] for one in run.estimate.get("ranks") or ())
    return f" on each of {count:,} cards" if count > 1 else ""


def why(train: Run, infer: Run) -> str:
    """Why training needs so much more than inference, with this model's own numbers."""
    held, kept = train.estimate["component_peak"], infer.estimate["component_peak"]
    ratio = train.device / max(1, infer.device)
    cache = f" and a cache of the tokens read so far ({units.binary(kept['kv_cache'])})" if kept["kv_cache"] else ""
    more = [
        f"{text} ({units.binary(held[part])})"
        for part, text in (
            ("gradients", "a gradient for every trained weight"),
            ("optimizer", "the optimizer's own numbers"),
            ("activations", "the activations kept for the backward pass"),
        )
        if held[part]
    ]
    listed = ", ".join(more[:-1]) + (" and " if len(more) > 1 else "") + more[-1] if more else "little else"
    return (
        f"Inference holds the weights ({units.binary(kept['weights'])}){cache}. "
        f"Training also holds {listed}: {_times(ratio)} as much in all."
    )


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times"


def alternative(runs: list[Run], card: str, capacity: int | None) -> str:
    """The chart in words, for those who do not see it."""
    parts = ["Memory by phase, stacked by component."]
    for run in runs:
        phases = "; ".join(f"{bar.label} {units.binary(bar.total)}" for bar in run.bars)
        top = ", ".join(f"{LABELS[name]} {units.binary(size)}" for name, size in run.peak.parts.items() if size > 0)
        parts.append(f"{run.title}: {phases}. Highest is {run.peak.label}: {top}.")
    if capacity:
        others = next((one.estimate["fit"].get("used_by_others") for one in runs if one.estimate.get("fit")), 0)
        beside = f" beside {units.binary(others)} that others hold on it" if others else ""
        parts.append(f"{card} holds {units.binary(capacity)}{beside}.")
    return " ".join(parts)
