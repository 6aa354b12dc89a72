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
HEIGHT = 390
"""Pixels of a chart of lines, and of any chart on a projector: of 720, all of it is to be seen above the presenter's
bar."""
LARGEST = 1.5
"""Letters and bars on a projector, against those on a desk."""
LETTERS = 13


def figure(shown: Bars | Curves, scale: float = 1.0) -> dict[str, Any]:
    """The figure, whichever it is."""
    return bars(shown, scale) if isinstance(shown, Bars) else curves(shown, scale)


def presented(shown: Bars | Curves) -> dict[str, Any]:
    """The figure for a projector: as large as can be seen above the presenter's bar."""
    if isinstance(shown, Curves):
        return curves(shown, LARGEST)
    return bars(shown, min(LARGEST, HEIGHT / (TOP + len(shown.stacks) * (LABEL + BAR + GAP) + AXIS)))


def _layout(height: float, scale: float, **more: Any) -> dict[str, Any]:
    return {
        "height": round(height), "showlegend": False, "hovermode": "closest", "dragmode": False,
        "font": {"size": LETTERS * scale},
        "hoverlabel": {"align": "left", "font": {"size": LETTERS * scale}}, **more,
    }  # fmt: skip


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
            f"<b>{LABELS[part]}</b>, {escape(one.label)}<br>{units.both(size)}, "
            f"{size / one.total if one.total else 0:.0%} of {units.binary(one.total)}"
            for one, size in zip(shown.stacks, sizes, strict=True)
        ],
        "hoverinfo": "text",
    }  # fmt: skip


def curves(shown: Curves, scale: float = 1.0) -> dict[str, Any]:
    """Lines with their names at their ends, bands that a rule of thumb claims, and marked points."""
    low, high = _reach(shown)
    letters = {"font": {"size": LETTERS * scale}}
    ticks = {"tickfont": {"size": (LETTERS - 1) * scale}, "fixedrange": True, "zeroline": False}
    return {
        "data": [*(_curve(one, shown, scale) for one in shown.curves),
                 *(_mark(one, shown, scale) for one in shown.marks),
                 *([] if shown.stacked else [_names(shown, scale)])],
        "layout": _layout(
            HEIGHT, scale,
            margin={"l": round(58 * scale), "r": 12, "t": round(26 * scale), "b": round(50 * scale)},
            xaxis={"title": {"text": shown.across, **letters}, **_lower(shown), **ticks},
            yaxis={"title": {"text": shown.upright, **letters}, "range": [low, high], "nticks": 7, **ticks,
                   **({"type": "log", "dtick": 1} if shown.rising == "powers" else {})},
            shapes=[_band(one.low, one.high, shown) for one in shown.bands],
            annotations=[*(_word(one, shown, scale) for one in shown.marks if one.text),
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


def _names(shown: Curves, scale: float) -> dict[str, Any]:
    """Each line's name at its end, above it; where two ends are close, the lower one's below its line."""
    low, high = _reach(shown)
    ends = [(one, one.xs[at], one.ys[at] or 0.0) for one in shown.curves if (at := _last(one)) is not None]
    drawn = [_up(y, shown) for _, _, y in ends]
    places = ["bottom left" if any(0 < other - y < (high - low) * 0.09 for other in drawn) else "top left"
              for y in drawn]  # fmt: skip
    return {
        "type": "scatter", "mode": "text", "hoverinfo": "skip", "cliponaxis": False,
        "x": [x for _, x, _ in ends], "y": [_y(y, shown) for _, _, y in ends],
        "text": ["" if one.quiet else f"<b>{escape(one.name)}</b>" for one, _, _ in ends],
        "textposition": places, "textfont": {"size": LETTERS * scale},
    }  # fmt: skip


def _last(one: Curve) -> int | None:
    return max((at for at, y in enumerate(one.ys) if y is not None), default=None)


def _word(one: Mark, shown: Curves, scale: float) -> dict[str, Any]:
    xs = [x for curve in shown.curves for x in curve.xs]
    left, right = _across(min(xs), shown), _across(max(xs), shown)
    share = (_across(one.x, shown) - left) / (right - left) if right > left else 0.5
    return {
        "text": escape(one.text), "x": _across(one.x, shown), "y": _up(one.y, shown), "showarrow": True, "arrowhead": 0,
        "arrowcolor": LINE, "ax": 0, "ay": -26 * scale, "xanchor": "left" if share < 0.3 else "right" if share > 0.7
        else "center", "font": {"size": LETTERS * scale}, "bgcolor": "#FFFFFF", "borderpad": 1,
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
