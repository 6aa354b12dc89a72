"""The charts of the page Accuracy: one dot a case. Plain dictionaries in Plotly's notation; no Streamlit in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from memcalc import units
from memcalc.ui.colours import LINE

HEIGHT = 420
ERROR, BOTH = "Error", "Estimate and truth"
VIEWS = (ERROR, BOTH)


@dataclass(frozen=True, slots=True)
class Dot:
    """One case: sizes in bytes; ``low`` and ``high`` are the stated range (the estimate itself for traces)."""

    name: str
    training: bool
    hollow: bool
    truth: int
    estimated: int
    low: int
    high: int

    @property
    def error(self) -> float:
        """Of the estimate, relative to the truth."""
        return self.estimated / self.truth - 1


def percent(error: float) -> str:
    """``+0.53%``; an error of nothing is ``0``."""
    if error == 0:
        return "0"
    return f"{error:+.4%}" if abs(error) < 0.001 else f"{error:+.2%}"


def scatter(dots: Sequence[Dot], view: str, truth: str, chosen: str | None = None) -> dict[str, Any]:
    """The dots by size and error, or by both sizes. ``truth`` names what they are judged by."""
    kinds = [(True, False), (True, True), (False, False), (False, True)]
    data = [
        _trace([one for one in dots if (one.training, one.hollow) == kind], kind, view)
        for kind in kinds
        if any((one.training, one.hollow) == kind for one in dots)
    ]
    ring = [one for one in dots if one.name == chosen]
    if ring:
        data.append(_ring(ring[0], view))
    sizes = [units.gib(one.truth) for one in dots] or [1.0]
    low, high = math.log10(min(sizes)) - 0.15, math.log10(max(sizes)) + 0.15
    shapes = []
    if view == ERROR:
        y = {"title": {"text": "error of the estimate, %", "standoff": 4}, "zeroline": True, "zerolinecolor": LINE,
             "zerolinewidth": 1.5, "rangemode": "tozero", "tickformat": "~g"}  # fmt: skip
        ends = [0.0, *(100 * (size / one.truth - 1) for one in dots for size in (one.low, one.high))]
        room = max(0.1 * (max(ends) - min(ends)), 0.005)
        y["range"] = [min(ends) - room, max(ends) + room]
    else:
        y = {"title": {"text": "estimate, GiB", "standoff": 4}, "type": "log", "dtick": 1, "range": [low, high]}
        shapes = [{"type": "line", "x0": 10**low, "x1": 10**high, "y0": 10**low, "y1": 10**high,
                   "line": {"color": LINE, "width": 1.5}}]  # fmt: skip
    return {
        "data": data,
        "layout": {
            "height": HEIGHT,
            "margin": {"l": 58, "r": 12, "t": 8, "b": 46},
            "showlegend": False,
            "xaxis": {"title": {"text": f"{truth}, GiB", "standoff": 6}, "type": "log", "dtick": 1,
                      "range": [low, high], "fixedrange": True, "tickformat": "~g"},
            "yaxis": {"fixedrange": True, **y},
            "shapes": shapes,
            "hoverlabel": {"align": "left", "font": {"size": 13}},
            "hovermode": "closest",
            "dragmode": False,
        },
    }  # fmt: skip


def _trace(dots: Sequence[Dot], kind: tuple[bool, bool], view: str) -> dict[str, Any]:
    training, hollow = kind
    symbol = ("circle" if training else "diamond") + ("-open" if hollow else "")
    found: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": ("training" if training else "inference") + (", code differs" if hollow else ""),
        "x": [units.gib(one.truth) for one in dots],
        "y": [_height(one, view) for one in dots],
        "customdata": [one.name for one in dots],
        "hovertext": [_hover(one) for one in dots],
        "hoverinfo": "text",
        "marker": {
            "symbol": symbol,
            "size": 9 if len(dots) < 100 else 7,
            "color": LINE,
            "opacity": 0.9 if len(dots) < 100 else 0.6,
            "line": {"width": 1.6 if hollow else 0, "color": LINE},
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 0.6}},
    }
    if any(one.low < one.high for one in dots):
        share = 100 if view == ERROR else 1
        by = [one.truth if view == ERROR else units.GiB for one in dots]
        found["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [share * (one.high - one.estimated) / unit for one, unit in zip(dots, by, strict=True)],
            "arrayminus": [share * (one.estimated - one.low) / unit for one, unit in zip(dots, by, strict=True)],
            "color": LINE,
            "thickness": 1.2,
            "width": 3,
        }
    return found


def _height(one: Dot, view: str) -> float:
    return one.error * 100 if view == ERROR else units.gib(one.estimated)


def _ring(one: Dot, view: str) -> dict[str, Any]:
    """Around the chosen dot."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [units.gib(one.truth)],
        "y": [_height(one, view)],
        "hoverinfo": "skip",
        "marker": {"symbol": "circle-open", "size": 18, "color": "#E5484D", "line": {"width": 2.5, "color": "#E5484D"}},
    }


def _hover(one: Dot) -> str:
    lines = [
        f"<b>{escape(one.name)}</b>",
        f"truth {units.binary(one.truth)} ({units.decimal(one.truth)}), estimate {units.binary(one.estimated)}",
        f"error {percent(one.error)}",
    ]
    if one.low < one.high:
        lines.append(f"stated range {units.binary(one.low)} to {units.binary(one.high)}")
    return "<br>".join(lines)
