"""Small words around numbers, for lessons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memcalc import units
from memcalc.components import LABELS as LABELS

PHASES = {
    "forward": "forward pass",
    "backward": "backward pass",
    "optimizer": "optimizer step",
    "prefill": "prefill",
    "decode": "decode",
}


def percent(share: float) -> str:
    """``0.7345`` as ``73 %``; small shares with a digit after the point."""
    return f"{100 * share:.1f} %" if 0 < abs(share) < 0.0995 else f"{100 * share:.0f} %"


def times(ratio: float) -> str:
    """``4.31`` as ``4.3 times``."""
    return f"{ratio:.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times"


def each(size: float) -> str:
    """Bytes for one parameter, without digits that say nothing: ``16``, ``0.56``."""
    return f"{size:.0f}" if abs(size - round(size)) < 0.02 and size >= 0.5 else f"{size:.2f}"


def listed(parts: Mapping[str, int]) -> str:
    """Components with their sizes, as a sentence lists them."""
    return ", ".join(f"{LABELS[name]} {units.binary(size)}" for name, size in parts.items() if size > 0)


def joined(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def nearest(value: float, choices: Sequence[float]) -> int:
    """The index of the choice that ``value`` is nearest to, by ratio."""
    return min(range(len(choices)), key=lambda at: abs(value / choices[at] - 1) if value < choices[at]
               else abs(choices[at] / value - 1))  # fmt: skip


def between(value: float, edges: Sequence[float]) -> int:
    """How many of the rising ``edges`` ``value`` has reached: the index of its range."""
    return sum(1 for edge in edges if value >= edge)
