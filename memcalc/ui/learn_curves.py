"""A lesson's lines over one axis as a plain dictionary for Plotly, each with its name beside it.

``scale`` enlarges everything for a projector: letters and lines alike.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from math import log10
from typing import Any

from memcalc import units
from memcalc.learn.lesson import Curve, Curves, Mark
from memcalc.ui.colours import COLOURS, LINE

HEIGHT = 390
"""Pixels of a chart of lines, and of any chart on a projector: of 720, all of it is to be seen above the presenter's
bar."""
LETTERS = 13
EARLIER = 0.55
"""How far along its line a name begins that cannot stand at the end."""


def layout(height: float, scale: float, **more: Any) -> dict[str, Any]:
    return {
        "height": round(height), "showlegend": False, "hovermode": "closest", "dragmode": False,
        "font": {"size": LETTERS * scale},
        "hoverlabel": {"align": "left", "font": {"size": LETTERS * scale}}, **more,
    }  # fmt: skip


def curves(shown: Curves, scale: float = 1.0) -> dict[str, Any]:
    """Lines with their names at their ends, bands that a rule of thumb claims, and marked points."""
    low, high = _reach(shown)
    letters = {"font": {"size": LETTERS * scale}}
    ticks = {"tickfont": {"size": (LETTERS - 1) * scale}, "fixedrange": True, "zeroline": False}
    return {
        "data": [*(_curve(one, shown, scale) for one in shown.curves),
                 *(_mark(one, shown, scale) for one in shown.marks)],
        "layout": layout(
            HEIGHT, scale,
            margin={"l": round(58 * scale), "r": 12, "t": round(26 * scale), "b": round(50 * scale)},
            xaxis={"title": {"text": shown.across, **letters}, **_lower(shown), **ticks},
            yaxis={"title": {"text": shown.upright, **letters}, "range": [low, high], "nticks": 7, **ticks,
                   **({"type": "log", "dtick": 1} if shown.rising == "powers" else {})},
            shapes=[_band(one.low, one.high, shown) for one in shown.bands],
            annotations=[*([] if shown.stacked else _names(shown, scale)),
                         *(_word(one, shown, scale) for one in shown.marks if one.text),
                         *(_band_name(one.text, one.high, shown, scale) for one in shown.bands)],
        ),
    }  # fmt: skip


def _reach(shown: Curves) -> tuple[float, float]:
    """The upright axis's range, in its own unit; powers of ten where it rises in them."""
    values = [y for one in shown.curves for y in one.ys if y is not None]
    if shown.stacked:
        values = [sum(one.ys[at] or 0.0 for one in shown.curves) for at in range(len(shown.curves[0].xs))]
    values += [one.y for one in shown.marks] + [one.high for one in shown.bands]
    if shown.rising == "powers":
        drawn = [_y(one, shown) or 0.0 for one in values if one > 0]
        return log10(min(drawn)) - 0.2, log10(max(drawn)) + 0.4
    return 0.0, 1.14 * (_y(max(values, default=1.0), shown) or 1.0)


def _lower(shown: Curves) -> dict[str, Any]:
    """The lower axis: evenly from where it starts, in powers, or with words in place of numbers."""
    xs = sorted({x for one in shown.curves for x in one.xs})
    if shown.logarithmic:
        few = xs if len(xs) <= 6 else xs[:: (len(xs) + 4) // 5]
        return {"type": "log", "tickvals": few, "ticktext": [f"{x:,.0f}" for x in few]}
    side: dict[str, Any] = {"range": [shown.start, shown.start + (xs[-1] - shown.start) * 1.03]}
    if shown.ticks:
        side |= {"tickvals": [x for x, _ in shown.ticks], "ticktext": [escape(text) for _, text in shown.ticks],
                 "showgrid": False}  # fmt: skip
    return side


def _y(value: float | None, shown: Curves) -> float | None:
    """A value in the upright axis's unit."""
    return None if value is None else units.gib(value) if shown.unit == "bytes" else value


def _up(value: float, shown: Curves) -> float:
    """Where an annotation stands: Plotly counts in powers of ten on such an axis."""
    drawn = _y(value, shown) or 0.0
    return log10(drawn) if shown.rising == "powers" else drawn


def _value(value: float, shown: Curves) -> str:
    return units.both(value) if shown.unit == "bytes" else f"{value:,.0f} {shown.unit}"


def _curve(one: Curve, shown: Curves, scale: float) -> dict[str, Any]:
    layer = {"stackgroup": "all", "fillcolor": COLOURS[one.part]} if shown.stacked else {}
    width = 0 if shown.stacked else 3 * scale
    return {
        "type": "scatter", "mode": "lines", "name": one.name,
        "x": list(one.xs), "y": [_y(y, shown) for y in one.ys],
        "line": {"color": COLOURS[one.part], "width": width, "dash": "dash" if one.dashed else "solid"},
        "hovertext": ["" if y is None else f"<b>{escape(one.name)}</b><br>{x:,.6g}: {_value(y, shown)}"
                      for x, y in zip(one.xs, one.ys, strict=True)],
        "hoverinfo": "text", **layer,
    }  # fmt: skip


def _mark(one: Mark, shown: Curves, scale: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": [one.x], "y": [_y(one.y, shown)], "name": one.text,
        "marker": {"size": 11 * scale, "color": COLOURS[one.part], "line": {"color": "#FFFFFF", "width": 2}},
        "hovertext": [f"<b>{escape(one.text or _value(one.y, shown))}</b>"], "hoverinfo": "text", "cliponaxis": False,
    }  # fmt: skip


def _across(x: float, shown: Curves) -> float:
    """Where an annotation stands on the lower axis."""
    return log10(x) if shown.logarithmic else x


def _names(shown: Curves, scale: float) -> list[dict[str, Any]]:
    """Each line's name above it; where another ends just above, below it. A name stands at its line's end, or, where
    the line comes from that side, further back and on the other side of that point, so that nothing is crossed out."""
    low, high = _reach(shown)
    ends = [(one, at) for one in shown.curves if (at := _last(one)) is not None]
    drawn = [_up(one.ys[at] or 0.0, shown) for one, at in ends]
    named = []
    for (one, at), end in zip(ends, drawn, strict=True):
        if one.quiet:
            continue
        below = any(0 < other - end < (high - low) * 0.09 for other in drawn)
        x, y = _between(one, at, shown, EARLIER)
        at_end = (y <= end) != below
        if at_end:
            x, y = _across(one.xs[at], shown), end
        named.append({
            "text": f"<b>{escape(one.name)}</b>", "x": x, "y": y, "showarrow": False, "bgcolor": "#FFFFFF",
            "xanchor": "right" if at_end else "left", "yanchor": "top" if below else "bottom",
            "yshift": (-5 if below else 5) * scale, "borderpad": 0, "font": {"size": LETTERS * scale},
        })  # fmt: skip
    return named


def _between(one: Curve, last: int, shown: Curves, share: float) -> tuple[float, float]:
    """The point of a line that lies so far along it, as the axes draw it."""
    points = [(_across(x, shown), _up(y, shown)) for x, y in zip(one.xs[: last + 1], one.ys, strict=False)
              if y is not None]  # fmt: skip
    wanted = points[0][0] + share * (points[-1][0] - points[0][0])
    for (x, y), (further, then) in pairwise(points):
        if x <= wanted <= further and further > x:
            return wanted, y + (then - y) * (wanted - x) / (further - x)
    return points[-1]


def _last(one: Curve) -> int | None:
    return max((at for at, y in enumerate(one.ys) if y is not None), default=None)


def _word(one: Mark, shown: Curves, scale: float) -> dict[str, Any]:
    xs = [x for curve in shown.curves for x in curve.xs]
    left, right = _across(min(xs), shown), _across(max(xs), shown)
    share = (_across(one.x, shown) - left) / (right - left) if right > left else 0.5
    return {
        "text": escape(one.text), "x": _across(one.x, shown), "y": _up(one.y, shown), "showarrow": True, "arrowhead": 0,
        "arrowcolor": LINE, "ax": 0, "ay": -26 * scale, "xanchor": "left" if share < 0.3 else "right" if share > 0.7
        else "center", "font": {"size": LETTERS * scale}, "bgcolor": "#FFFFFF", "borderpad": 3,
    }  # fmt: skip


def _band(low: float, high: float, shown: Curves) -> dict[str, Any]:
    return {
        "type": "rect", "x0": 0, "x1": 1, "xref": "paper", "y0": _y(low, shown), "y1": _y(high, shown),
        "fillcolor": LINE, "opacity": 0.22, "line": {"width": 0}, "layer": "below",
    }  # fmt: skip


def _band_name(text: str, high: float, shown: Curves, scale: float) -> dict[str, Any]:
    return {
        "text": escape(text), "x": 0.01, "xref": "paper", "xanchor": "left", "y": _y(high, shown), "yanchor": "top",
        "showarrow": False, "font": {"size": (LETTERS - 1) * scale},
    }  # fmt: skip
