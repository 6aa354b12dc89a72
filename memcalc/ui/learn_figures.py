"""A lesson's figure as a plain dictionary for Plotly: stacked bars under each other, or lines over one axis.

``scale`` enlarges everything for a projector: letters, bars and lines alike.
"""

from __future__ import annotations

from html import escape
from typing import Any

from memcalc import units
from memcalc.learn.lesson import Bars, Curves, Stack
from memcalc.ui.colours import COLOURS, LABELS, LINE, ink
from memcalc.ui.learn_curves import HEIGHT, LETTERS, curves, layout

TOP, LABEL, BAR, GAP, AXIS = 6, 24, 30, 14, 54
NAMED_FROM = 0.06
"""Narrower than this share of the axis, a segment gets no name of its own."""
LARGEST = 1.5
"""Letters and bars on a projector, against those on a desk."""


def figure(shown: Bars | Curves, scale: float = 1.0) -> dict[str, Any]:
    """The figure, whichever it is."""
    return bars(shown, scale) if isinstance(shown, Bars) else curves(shown, scale)


def presented(shown: Bars | Curves) -> dict[str, Any]:
    """The figure for a projector: as large as can be seen above the presenter's bar."""
    if isinstance(shown, Curves):
        return curves(shown, LARGEST)
    scale = min(LARGEST, HEIGHT / (TOP + len(shown.stacks) * (LABEL + BAR + GAP) + AXIS))
    return bars(shown, scale, min(LARGEST, scale * 1.2))  # lower bars still have room for letters that are read afar


def bars(shown: Bars, scale: float = 1.0, letters: float = 1.0) -> dict[str, Any]:
    """Stacked bars, each with its name and total above it; the chosen one's in bold. ``letters``: their scale."""
    label, bar, gap = (round(size * scale) for size in (LABEL, BAR, GAP))
    middles = [TOP + label + bar // 2 + place * (label + bar + gap) for place in range(len(shown.stacks))]
    height = TOP + len(middles) * (label + bar + gap)
    axis = units.gib(max([shown.floor, *(one.total for one in shown.stacks)])) * 1.03
    notes = [_name(one, y - bar // 2 - label // 2, letters) for one, y in zip(shown.stacks, middles, strict=True)]
    foot = round(AXIS * scale)
    return {
        "data": [_segments(part, shown, middles, bar, axis, letters) for part in shown.parts],
        "layout": layout(
            height + foot, letters,
            barmode="stack",
            margin={"l": 4, "r": 12, "t": 4, "b": foot - 4},
            uniformtext={"mode": "hide", "minsize": round(11 * letters)},
            xaxis={"range": [0, axis], "fixedrange": True, "zeroline": False, "nticks": 7,
                   "title": {"text": "GiB on the card", "standoff": 8 * scale, "font": {"size": LETTERS * letters}},
                   "tickfont": {"size": (LETTERS - 1) * letters}},
            yaxis={"range": [height, 0], "fixedrange": True, "visible": False},
            annotations=notes,
        ),
    }  # fmt: skip


def _name(one: Stack, y: float, scale: float) -> dict[str, Any]:
    text = f"{escape(one.label)}: {units.binary(one.total)}"
    return {
        "text": f"<b>{text}</b>" if one.chosen else text, "x": 0, "xref": "paper", "xanchor": "left", "y": y,
        "yref": "y", "yanchor": "middle", "align": "left", "showarrow": False, "font": {"size": (LETTERS + 1) * scale},
    }  # fmt: skip


def _segments(part: str, shown: Bars, middles: list[int], bar: int, axis: float, scale: float) -> dict[str, Any]:
    """One component over all bars."""
    sizes = [one.parts.get(part, 0) for one in shown.stacks]
    return {
        "type": "bar", "orientation": "h", "name": LABELS[part],
        "x": [units.gib(size) for size in sizes], "y": middles, "width": bar,
        "marker": {"color": COLOURS[part], "line": {"color": LINE, "width": 0.6}},
        "text": [LABELS[part] if units.gib(size) > axis * NAMED_FROM else "" for size in sizes],
        "textposition": "inside", "insidetextanchor": "middle", "textangle": 0,
        "insidetextfont": {"color": ink(COLOURS[part]), "size": 12 * scale},
        "hovertext": [
            f"<b>{LABELS[part]}</b>, {escape(one.label)}<br>{units.both(size)}, "
            f"{size / one.total if one.total else 0:.0%} of {units.binary(one.total)}"
            for one, size in zip(shown.stacks, sizes, strict=True)
        ],
        "hoverinfo": "text",
    }  # fmt: skip
