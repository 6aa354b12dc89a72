"""The timeline's sentences. No Streamlit in here."""

from __future__ import annotations

from memcalc import units
from memcalc.ui import words
from memcalc.ui.colours import LABELS
from memcalc.ui.ledger import PHASE_LABELS, Run
from memcalc.ui.timeline_bands import Band, Step, Strip
from memcalc.ui.timeline_tensors import Row

#: Why each phase can be the highest one.
_WHY = {
    "load": "Nothing else rises above the weights themselves.",
    "forward": "Every block leaves behind what the backward pass will need.",
    "backward": "The activations of all blocks are still there when the backward pass begins; "
    "gradients take their place one by one.",
    "optimizer": "All gradients and all states are there at once, and the update needs room to work.",
    "prefill": "The whole prompt goes through the model at once; decoding holds little beside weights and cache.",
    "decode": "The cache has grown with every token, and joining a new one needs a second copy for a moment.",
}


def phase(band: Band) -> str:
    """``backward pass``, ``prefill``."""
    return PHASE_LABELS.get(band.phase, band.phase).split(" (")[0]


def place(strip: Strip) -> str:
    """Where the run is highest: ``backward pass of block 32, in every later step``."""
    band, step = strip.peak
    name = phase(band)
    if step.label not in (band.phase, name):
        name = f"{name}, at the {step.label}" if step.label in ("head", "embedding") else f"{name}, in {step.label}"
    later = strip.task == "train" and band.step > 1
    return f"{name} (from the second step on)" if later else name


def headline(strip: Strip) -> str:
    """What decides: ``The optimizer step is highest: 79.3 GiB``."""
    band, step = strip.peak
    name = "Prefill" if band.phase == "prefill" else f"The {phase(band)}"
    return f"{name} is highest: {units.binary(step.total)}"


def against(run: Run, card: str) -> tuple[str, str]:
    """What the card says about it: the verdict's state, and a line."""
    fit = run.estimate.get("fit")
    if not fit:
        return "unknown", "Choose a card to see whether it fits."
    said = words.verdict(run, card)
    return said.state, f"{said.headline}: the {card} holds {units.binary(fit['capacity'])}."


def sentence(strip: Strip, rows: list[Row]) -> str:
    """The peak named with the tensors that make it: each component with its size and its largest tensors."""
    band, step = strip.peak
    said = []
    for part, total in sorted(step.parts.items(), key=lambda one: -one[1]):
        if total < 0.005 * step.total:
            continue
        own = [row for row in rows if row.component == part]
        said.append(f"{LABELS[part]} {units.binary(total)}{_largest(own, total)}")
    return f"{_upper(place(strip))}: {'; '.join(said)}. {_WHY.get(band.phase, '')}".strip()


def _largest(own: list[Row], total: int) -> str:
    """In brackets, the one or two tensors that make most of a component."""
    names = []
    covered = 0
    for row in own[:2]:
        if row.total < 0.12 * total or row.component in ("weights", "gradients", "overhead"):
            break
        name = row.name.split(" (")[0]
        names.append(f"{row.count:,} × {name}" if row.count > 1 else name)
        covered += row.total
    if not names:
        return ""
    return f" ({'' if covered > 0.9 * total else 'most of all '}{' and '.join(names)})"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def alternative(strip: Strip, card: str, capacity: int | None) -> str:
    """The chart in words."""
    bands = []
    for band in strip.bands:
        turn = f" of step {band.step}" if strip.task == "train" and band.step else ""
        first, last = band.steps[0].total, band.steps[-1].total
        course = f", from {units.binary(first)} to {units.binary(last)}" if len(band.steps) > 1 else ""
        bands.append(f"{band.title}{turn}{course}, at most {units.binary(band.top.total)}")
    parts = [f"Live memory in order: {'; '.join(bands)}.", f"Highest in the {place(strip)}: {listed(strip.peak[1])}."]
    if capacity:
        parts.append(f"{card} holds {units.binary(capacity)}.")
    return " ".join(parts)


def listed(step: Step) -> str:
    """``weights 15.0 GiB, gradients 15.0 GiB``."""
    return ", ".join(f"{LABELS[part]} {units.binary(size)}" for part, size in step.parts.items() if size)


def map_alternative(rows: list[Row], what: str) -> str:
    """The treemap in words: its largest tiles."""
    largest = "; ".join(f"{row.name} {units.binary(row.total)}" for row in rows[:8])
    more = f"; and {len(rows) - 8} smaller ones" if len(rows) > 8 else ""
    return f"Tensors at the highest instant, {what}, largest first: {largest}{more}."
