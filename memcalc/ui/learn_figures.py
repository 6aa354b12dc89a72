"""A lesson's figure as a plain dictionary for Plotly: stacked bars under each other, or lines over one axis.

``scale`` enlarges everything for a projector: letters, bars and lines alike.
"""

from __future__ import annotations

from html import escape
from math import log10
from typing import Any

from memcalc import units
from memcalc.learn.lesson import Bars, Curve, Curves, Mark, Stack
from memcalc.ui.colours import COLOURS, LABELS, LINE, ink

TOP, LABEL, BAR, GAP, AXIS = 6, 24, 30, 14, 54
NAMED_FROM = 0.06
"""Narrower than this share of the axis, a segment gets no name of its own."""
HEIGHT = 400
LETTERS = 13


def figure(shown: Bars | Curves, scale: float = 1.0) -> dict[str, Any]:
    """The figure, whichever it is."""
    return bars(shown, scale) if isinstance(shown, Bars) else curves(shown, scale)


def _layout(height: float, scale: float, **more: Any) -> dict[str, Any]:
    return {
        "height": round(height), "showlegend": False, "hovermode": "closest", "dragmode": False,
        "font": {"size": LETTERS * scale},
        "hoverlabel": {"align": "left", "font": {"size": LETTERS * scale}}, **more,
    }  # fmt: skip


def _both(size: float) -> str:
    return f"{units.binary(size)} ({units.decimal(size)})"


def bars(shown: Bars, scale: float = 1.0) -> dict[str, Any]:
    """Stacked bars, each with its name and total above it; the chosen one's in bold."""
    label, bar, gap = (round(size * scale) for size in (LABEL, BAR, GAP))
    middles = [TOP + label + bar // 2 + place * (label + bar + gap) for place in range(len(shown.stacks))]
    height = TOP + len(middles) * (label + bar + gap)
    axis = units.gib(max([shown.floor, *(one.total for one in shown.stacks)])) * 1.03
    notes = [_name(one, y - bar // 2 - label // 2, scale) for one, y in zip(shown.stacks, middles, strict=True)]
    foot = round(AXIS * scale)
    return {
        "data": [_segments(part, shown, middles, bar, axis, scale) for part in shown.parts],
        "layout": _layout(
            height + foot, scale,
            barmode="stack",
            margin={"l": 4, "r": 12, "t": 4, "b": foot - 4},
            uniformtext={"mode": "hide", "minsize": round(11 * scale)},
            xaxis={"range": [0, axis], "fixedrange": True, "zeroline": False, "nticks": 7,
                   "title": {"text": "GiB on the card", "standoff": 10 * scale, "font": {"size": LETTERS * scale}},
                   "tickfont": {"size": (LETTERS - 1) * scale}},
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
            f"<b>{LABELS[part]}</b>, {escape(one.label)}<br>{_both(size)}, "
            f"{size / one.total if one.total else 0:.0%} of {units.binary(one.total)}"
            for one, size in zip(shown.stacks, sizes, strict=True)
        ],
        "hoverinfo": "text",
    }  # fmt: skip


def curves(shown: Curves, scale: float = 1.0) -> dict[str, Any]:
    """Lines with their names at their ends, bands that a rule of thumb claims, and marked points."""
    bytes_ = shown.unit == "bytes"
    high = [y for one in shown.curves for y in one.ys if y is not None] + [one.high for one in shown.bands]
    top = max(high + [one.y for one in shown.marks], default=1.0)
    axis = 1.14 * (units.gib(top) if bytes_ else top)
    xs = [x for one in shown.curves for x in one.xs]
    side: dict[str, Any] = (
        {"type": "log"} if shown.logarithmic else {"range": [shown.start, shown.start + (max(xs) - shown.start) * 1.03]}
    )
    ticks = {"tickfont": {"size": (LETTERS - 1) * scale}}
    title = {"font": {"size": LETTERS * scale}}
    if shown.logarithmic:
        values = sorted(set(xs))
        shown_ticks = values if len(values) <= 8 else values[:: (len(values) + 6) // 7]
        side |= {"tickvals": shown_ticks, "ticktext": [f"{x:,.0f}" for x in shown_ticks]}
    return {
        "data": [*(_curve(one, bytes_, shown, scale) for one in shown.curves),
                 *(_mark(one, bytes_, scale) for one in shown.marks)],
        "layout": _layout(
            HEIGHT * scale, scale,
            margin={"l": round(58 * scale), "r": 12, "t": round(26 * scale), "b": round(50 * scale)},
            xaxis={"title": {"text": shown.across, **title}, "fixedrange": True, "zeroline": False, **side, **ticks},
            yaxis={"title": {"text": shown.upright, **title}, "range": [0, axis], "fixedrange": True, "nticks": 7,
                   "ticksuffix": " %" if shown.unit == "%" else "", **ticks},
            shapes=[_band(one.low, one.high, bytes_) for one in shown.bands],
            annotations=[*_names(shown, bytes_, axis, scale),
                         *(_word(one, shown, bytes_, scale) for one in shown.marks),
                         *(_band_name(one.text, one.high, bytes_, scale) for one in shown.bands)],
        ),
    }  # fmt: skip


def _y(value: float | None, bytes_: bool) -> float | None:
    return None if value is None else units.gib(value) if bytes_ else value


def _value(value: float, shown: Curves) -> str:
    return _both(value) if shown.unit == "bytes" else f"{value:,.0f} {shown.unit}"


def _curve(one: Curve, bytes_: bool, shown: Curves, scale: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": one.name,
        "x": list(one.xs), "y": [_y(y, bytes_) for y in one.ys],
        "line": {"color": COLOURS[one.part], "width": 3 * scale, "dash": "dash" if one.dashed else "solid"},
        "hovertext": ["" if y is None else f"<b>{escape(one.name)}</b><br>{x:,.6g}: {_value(y, shown)}"
                      for x, y in zip(one.xs, one.ys, strict=True)],
        "hoverinfo": "text",
    }  # fmt: skip


def _mark(one: Mark, bytes_: bool, scale: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": [one.x], "y": [_y(one.y, bytes_)], "name": one.text,
        "marker": {"size": 11 * scale, "color": COLOURS[one.part], "line": {"color": "#FFFFFF", "width": 2}},
        "hovertext": [f"<b>{escape(one.text)}</b>"], "hoverinfo": "text", "cliponaxis": False,
    }  # fmt: skip


def _across(x: float, shown: Curves) -> float:
    """Where an annotation stands: Plotly counts in powers of ten on such an axis."""
    return log10(x) if shown.logarithmic else x


def _names(shown: Curves, bytes_: bool, axis: float, scale: float) -> list[dict[str, Any]]:
    """Each line's name at its end, above it; where two ends are close, the lower one's below its line."""
    ends = []
    for one in shown.curves:
        last = max((at for at, y in enumerate(one.ys) if y is not None), default=None)
        if last is not None:
            ends.append((one, one.xs[last], _y(one.ys[last], bytes_) or 0.0))
    found = []
    for one, x, y in ends:
        below = any(0 < other - y < axis * 0.09 for _, _, other in ends)
        found.append({
            "text": f"<b>{escape(one.name)}</b>", "x": _across(x, shown), "y": y, "xanchor": "right",
            "yanchor": "top" if below else "bottom", "yshift": (-4 if below else 4) * scale, "showarrow": False,
            "font": {"size": LETTERS * scale},
        })  # fmt: skip
    return found


def _word(one: Mark, shown: Curves, bytes_: bool, scale: float) -> dict[str, Any]:
    xs = [x for curve in shown.curves for x in curve.xs]
    left, right = _across(min(xs), shown), _across(max(xs), shown)
    share = (_across(one.x, shown) - left) / (right - left) if right > left else 0.5
    return {
        "text": escape(one.text), "x": _across(one.x, shown), "y": _y(one.y, bytes_), "showarrow": True, "arrowhead": 0,
        "arrowcolor": LINE, "ax": 0, "ay": -26 * scale, "xanchor": "left" if share < 0.3 else "right" if share > 0.7
        else "center", "font": {"size": LETTERS * scale}, "bgcolor": "#FFFFFF", "borderpad": 1,
    }  # fmt: skip


def _band(low: float, high: float, bytes_: bool) -> dict[str, Any]:
    return {
        "type": "rect", "x0": 0, "x1": 1, "xref": "paper", "y0": _y(low, bytes_), "y1": _y(high, bytes_),
        "fillcolor": LINE, "opacity": 0.22, "line": {"width": 0}, "layer": "below",
    }  # fmt: skip


def _band_name(text: str, high: float, bytes_: bool, scale: float) -> dict[str, Any]:
    return {
        "text": escape(text), "x": 0.01, "xref": "paper", "xanchor": "left", "y": _y(high, bytes_), "yanchor": "top",
        "showarrow": False, "font": {"size": (LETTERS - 1) * scale},
    }  # fmt: skip
