"""The charts, as plain dictionaries in Plotly's own notation.

A dictionary costs a tenth of the processor time of ``plotly.graph_objects`` and Streamlit takes it as it
is. Lengths down the page are in pixels, so that a bar and its label keep their distance at every width.
Names sit above their bars instead of beside them: the bars then have the whole width, on a phone too.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from memcalc import units
from memcalc.ui.colours import COLOURS, LABELS, LINE, OTHERS_COLOUR, OTHERS_LABEL, ink
from memcalc.ui.formulas import formula
from memcalc.ui.ledger import Bar, Run, shown_parts

TOP, HEADING, LABEL, BAR, GAP, AXIS = 30, 30, 22, 26, 12, 46
#: Narrower than this share of the axis, a segment gets no name of its own.
NAMED_FROM = 0.045
#: The card's line this near to a segment's middle, as a share of the axis, would strike its name through.
NAME_REACH = 0.1

CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}


def _rows(runs: list[Run]) -> tuple[list[tuple[Run, int]], list[tuple[Run, Bar, int]], int]:
    """Where the headings and the bars' middles are, in pixels from the top, and the height of all."""
    headings, places, y = [], [], TOP
    for run in runs:
        headings.append((run, y + HEADING // 2))
        y += HEADING
        for bar in run.bars:
            y += LABEL
            places.append((run, bar, y + BAR // 2))
            y += BAR + GAP
    return headings, places, y


def _hover(run: Run, bar: Bar, part: str) -> str:
    size = bar.parts[part]
    share = size / bar.total if bar.total else 0.0
    lines = [
        f"<b>{LABELS[part]}</b>, {run.title.lower()}: {escape(bar.label)}",
        f"{units.binary(size)} ({units.decimal(size)}), {share:.0%} of {units.binary(bar.total)}",
    ]
    how = formula(run, bar, part)
    return "<br>".join([*lines, escape(how)] if how else lines)


def _anchor(spans: list[tuple[float, float]], axis: float, line: float | None) -> str:
    """Where names stand in segments of these beginnings and ends: in the middle, but aside where the card's line is."""
    for start, end in spans:
        middle = (start + end) / 2
        if line is not None and start < line < end and abs(line - middle) < axis * NAME_REACH:
            return "end" if line < middle else "start"
    return "middle"


def _segments(
    part: str, places: list[tuple[Run, Bar, int]], axis: float, starts: list[float], line: float | None
) -> dict[str, Any]:
    """One component over all bars, each beginning where ``starts`` says (GiB)."""
    sizes = [bar.parts.get(part, 0) for _, bar, _ in places]
    return {
        "type": "bar",
        "orientation": "h",
        "name": LABELS[part],
        "x": [units.gib(size) for size in sizes],
        "y": [y for _, _, y in places],
        "width": BAR,
        "marker": {"color": COLOURS[part], "line": {"color": LINE, "width": 0.6}},
        "text": [
            f"{LABELS[part]} {units.binary(size).removesuffix(' GiB')}" if units.gib(size) > axis * NAMED_FROM else ""
            for size in sizes
        ],
        "textposition": "inside",
        "insidetextanchor": _anchor(
            [(start, start + units.gib(size)) for start, size in zip(starts, sizes, strict=True)], axis, line
        ),
        "textangle": 0,
        "insidetextfont": {"color": ink(COLOURS[part]), "size": 12},
        "hovertext": [_hover(run, bar, part) for run, bar, _ in places],
        "hoverinfo": "text",
    }


def _stack(
    runs: list[Run], places: list[tuple[Run, Bar, int]], axis: float, start: float, line: float | None
) -> Iterator[dict[str, Any]]:
    starts = [start for _ in places]
    for part in shown_parts(runs):
        yield _segments(part, places, axis, starts, line)
        starts = [
            before + units.gib(bar.parts.get(part, 0)) for before, (_, bar, _) in zip(starts, places, strict=True)
        ]


def _whiskers(places: list[tuple[Run, Bar, int]], others: int = 0) -> dict[str, Any]:
    """The estimate's own uncertainty, on the highest bar of each run."""
    peaks = [(run, y) for run, bar, y in places if bar.highest]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [units.gib(run.device + others) for run, _ in peaks],
        "y": [y for _, y in peaks],
        "marker": {"color": "#4A5563", "size": 5, "line": {"color": "#FFFFFF", "width": 1}},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, units.gib(run.range[1] - run.device)) for run, _ in peaks],
            "arrayminus": [max(0.0, units.gib(run.device - run.range[0])) for run, _ in peaks],
            "color": LINE,
            "thickness": 2,
            "width": 6,
        },
        "hovertext": [
            f"between {units.binary(run.range[0])} and {units.binary(run.range[1])}"
            f"<br>({units.decimal(run.range[0])} to {units.decimal(run.range[1])})"
            for run, _ in peaks
        ],
        "hoverinfo": "text",
    }


def _note(text: str, y: float, **more: Any) -> dict[str, Any]:
    return {
        "text": text,
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "y": y,
        "yref": "y",
        "yanchor": "middle",
        "align": "left",
        "showarrow": False,
        "font": {"size": 13},
        **more,
    }


def _capacity(
    card: str, capacity: int, axis: float, places: list[tuple[Run, Bar, int]], others: int = 0
) -> tuple[list, list]:
    """The card's line, left out where it would strike through a bar's name, and its label: what is free on the card,
    and all of it where others hold some."""
    at = units.gib(capacity)
    share = at / axis
    middles = [y for _, _, y in places]
    spans = [(TOP - 10, TOP + 4), *((y - BAR // 2 - 3, y + BAR // 2 + GAP - 3) for y in middles)]
    # Mid-grey for exported pictures; on the page the style sheet gives it the text's own colour.
    lines = [
        {"type": "line", "x0": at, "x1": at, "y0": top, "y1": bottom, "line": {"color": LINE, "width": 2.5}}
        for top, bottom in spans
    ]
    label = _note(
        f"<b>{escape(card)}</b>: {units.binary(capacity - others)}"
        + (f" of {units.binary(capacity)}" if others else ""),
        TOP // 2 - 4,
        x=at,
        xref="x",
        # On a phone it takes two thirds of the width: which it always has from the line on, around it, or up to it.
        xanchor="left" if share < 1 / 3 else "right" if share > 2 / 3 else "center",
    )
    return lines, [label]


def _others(places: list[tuple[Run, Bar, int]], size: int) -> dict[str, Any]:
    """What is on a card of this machine already, before every bar: hatched, since it belongs to no run."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": OTHERS_LABEL,
        "x": [units.gib(size) for _ in places],
        "y": [y for _, _, y in places],
        "width": BAR,
        "marker": {
            "color": OTHERS_COLOUR,
            "line": {"color": LINE, "width": 0.6},
            "pattern": {"shape": "/", "size": 7, "solidity": 0.4, "fillmode": "overlay", "fgcolor": "#98A1AB"},
        },
        "hovertext": [
            f"<b>{OTHERS_LABEL}</b>, by others: {units.binary(size)} ({units.decimal(size)})" for _ in places
        ],
        "hoverinfo": "text",
    }


def taken(runs: list[Run]) -> int:
    """Bytes that others hold on the card that the runs are judged on; 0 for a card of the catalogue."""
    return next((int(one.estimate["fit"].get("used_by_others", 0)) for one in runs if one.estimate.get("fit")), 0)


def phase_bars(runs: list[Run], card: str = "", capacity: int | None = None) -> dict[str, Any]:
    """Training and inference under each other: a stacked bar a phase, on one axis, against the card's line. On a card
    of this machine the bars begin where what others hold ends, and the line is where the card ends."""
    headings, places, height = _rows(runs)
    others = taken(runs) if capacity else 0
    capacity = capacity + others if capacity else None
    largest = max(
        [run.range[1] + others for run in runs] + [bar.total + others for _, bar, _ in places] + [capacity or 0]
    )
    axis = units.gib(largest) * 1.03
    shapes, notes = _capacity(card, capacity, axis, places, others) if capacity else ([], [])
    notes += [_note(f"<b>{run.title}</b>", y, font={"size": 15}) for run, y in headings]
    for _, bar, y in places:
        text = f"{escape(bar.label)}: {units.binary(bar.total)}"
        notes.append(_note(f"<b>{text}, the highest</b>" if bar.highest else text, y - BAR // 2 - LABEL // 2 + 1))
    return {
        "data": [
            *([_others(places, others)] if others else []),
            *_stack(runs, places, axis, units.gib(others), units.gib(capacity) if capacity else None),
            _whiskers(places, others),
        ],
        "layout": {
            "barmode": "stack",
            "height": height + AXIS,
            "margin": {"l": 4, "r": 12, "t": 4, "b": AXIS - 4},
            "showlegend": False,
            "uniformtext": {"mode": "hide", "minsize": 11},
            "xaxis": {
                "range": [0, axis],
                "fixedrange": True,
                "title": {"text": "GiB on the card", "standoff": 6},
                "zeroline": False,
                "nticks": 8,
            },
            "yaxis": {"range": [height, 0], "fixedrange": True, "visible": False},
            "shapes": shapes,
            "annotations": notes,
            "hoverlabel": {"align": "left", "font": {"size": 13}},
            "hovermode": "closest",
            "dragmode": False,
        },
    }
