"""The batch page: memory against the batch, training and inference on one chart, with the card's line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.fit import device_for
from memcalc.scenario import Scenario
from memcalc.ui import catalogues, export, words
from memcalc.ui.batch_lines import Over, lines
from memcalc.ui.colours import COLOURS
from memcalc.ui.ledger import Run
from memcalc.ui.markup import size
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.state import Settings
from memcalc.ui.timeline_figures import FAR, card_line

MOST = 64
#: How many times the card's capacity the chart reaches at most.
CARDS_HIGH = 3
#: … unless a line begins higher than that: then this many times its beginning.
BEGINS_HIGH = 1.6
#: Training in the colour of what only it holds, inference in that of its cache.
SHADES = {"Training": COLOURS["gradients"], "Inference": COLOURS["kv_cache"]}


def capacity(settings: Settings) -> tuple[str, int] | None:
    """What to call the chosen card, and what processes can use of it."""
    if not settings.gpu:
        return None
    device = device_for(Scenario.read(settings.inference()).hardware, catalogues.machine())
    return (words.card(settings.gpu, device.name), device.capacity) if device else None


def figure(shown: list[Over], card: tuple[str, int] | None, now: int = 0) -> dict[str, Any]:
    """Lines with their ranges as bands, their fixed parts, the card's line, and the chosen batch ``now``, in GiB."""
    highest = max(one.point[-1] for one in shown)
    # A card far below the steeper line would lie flat on the axis: look no higher than a few cards, but so high
    # that every line is seen to begin.
    begins = max(one.point[1] for one in shown)
    top: float = highest
    if card and card[1] <= highest:
        top = min(highest, max(CARDS_HIGH * card[1], BEGINS_HIGH * begins))
    elif card and card[1] <= FAR * highest:
        top = card[1]
    axis = 1.12 * units.gib(top)
    data = [trace for one in shown for trace in _traces(one)]
    notes = [_name(one, top) for one in shown]
    shapes: list[dict[str, Any]] = []
    if card:
        shapes, note = card_line(*card, axis, 4)
        notes.append(note)
    if now:
        data += [_dot(one, now) for one in shown if now <= len(one.point)]
    return {
        "data": data,
        "layout": {
            "height": 440, "margin": {"l": 54, "r": 12, "t": 32 if card else 12, "b": 48}, "showlegend": False,
            "shapes": shapes, "annotations": notes, "hovermode": "closest", "uirevision": "batch", "dragmode": False,
            "hoverlabel": {"align": "left", "font": {"size": 13}},
            "xaxis": {"title": {"text": "sequences at once (batch)"}, "range": [0, MOST + 1], "fixedrange": True},
            "yaxis": {"title": {"text": "GiB on the card"}, "range": [0, axis], "fixedrange": True},
        },
    }  # fmt: skip


def _traces(one: Over) -> list[dict[str, Any]]:
    """A run's range as a band, the straight line's way down to its fixed part, and the line itself."""
    xs, colour = list(range(1, len(one.point) + 1)), SHADES[one.title]
    band = [units.gib(size) for size in (*one.high, *reversed(one.low))]
    hover = [f"{units.both(size)}" for size in one.point]
    start, begins = one.line.straight_from, max(0.0, one.line.fixed)
    fixed = f"whatever the batch: {units.both(begins)}"
    return [
        {"type": "scatter", "x": xs + xs[::-1], "y": band, "fill": "toself", "fillcolor": colour + "33",
         "line": {"width": 0}, "mode": "lines", "hoverinfo": "skip", "showlegend": False,
         "name": f"{one.title}, range"},
        {"type": "scatter", "x": [0, start], "y": [units.gib(begins), units.gib(one.point[start - 1])],
         "mode": "lines+markers", "line": {"color": colour, "width": 2, "dash": "dot"},
         "marker": {"size": [9, 0], "color": colour}, "name": f"{one.title}, fixed part",
         "hovertemplate": f"<b>{one.title}</b><br>{fixed}<extra></extra>", "cliponaxis": False},
        {"type": "scatter", "x": xs, "y": [units.gib(size) for size in one.point], "mode": "lines",
         "line": {"color": colour, "width": 3}, "name": one.title, "customdata": hover,
         "hovertemplate": "<b>%{fullData.name}</b>, batch %{x}<br>%{customdata}<extra></extra>"},
    ]  # fmt: skip


def _dot(one: Over, now: int) -> dict[str, Any]:
    """The batch that is chosen, on the line."""
    there = one.point[now - 1]
    return {
        "type": "scatter", "x": [now], "y": [units.gib(there)], "mode": "markers", "name": f"{one.title}, now",
        "marker": {"size": 11, "color": SHADES[one.title], "line": {"color": "#FFFFFF", "width": 2}},
        "hovertemplate": f"<b>{one.title}</b>, batch {now} (chosen)<br>{units.both(there)}"
        "<extra></extra>",
    }  # fmt: skip


def _name(one: Over, top: float) -> dict[str, Any]:
    """The line's name with its equation, where the line ends or leaves the chart."""
    last = max((at for at, size in enumerate(one.point, 1) if size <= top), default=1)
    leaves = last < len(one.point) * 0.6
    text = f"<b>{one.title}</b><br>{equation(one)}"
    return {
        "x": last + (1 if leaves else 0), "y": units.gib(one.point[last - 1]), "text": text, "showarrow": False,
        "align": "left" if leaves else "right", "xanchor": "left" if leaves else "right",
        "yanchor": "top" if leaves else "bottom", "yshift": 0 if leaves else 6, "xshift": 8 if leaves else 0,
    }  # fmt: skip


def equation(one: Over) -> str:
    """``15.6 GiB + 495 MiB × batch``."""
    return f"{units.binary(max(one.line.fixed, 0))} + {units.binary(one.line.slope)} × batch"


def sentence(one: Over, card: tuple[str, int] | None) -> str:
    """A line in words: its fixed part, its slope, and the largest batch that fits."""
    fixed, slope = units.binary(max(one.line.fixed, 0)), units.binary(one.line.slope)
    start = one.line.straight_from
    said = f"{one.title}: {fixed} whatever the batch, and {slope} for each sequence."
    if start > 1:
        said = (
            f"{one.title}: {units.binary(one.point[0])} at batch 1, decided by what does not grow with the batch; from "
            f"batch {start} on {fixed} and {slope} for each sequence."
        )
    if card is None:
        return said
    most = one.largest(card[1])
    if most == 0:
        return f"{said} Not even one sequence is sure to fit the {card[0]}."
    more = " or more" if most == len(one.point) else ""
    return f"{said} Up to {most}{more} fit the {card[0]}."


def as_csv(shown: list[Over]) -> str:
    """Both lines with their ranges, a row a batch, in bytes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["batch", *(f"{one.title.lower()} {what}" for one in shown for what in ("bytes", "low", "high"))])
    for at in range(MOST):
        rows.writerow([at + 1, *(size for one in shown for size in (one.point[at], one.low[at], one.high[at]))])
    return text.getvalue()


def offers(settings: Settings, _runs: Sequence[Run]) -> list[export.Offer]:
    """The chart and its figures as files to take along."""
    shown, _ = lines(settings, range(1, MOST + 1))
    card = capacity(settings)
    said = " ".join(sentence(one, card) for one in shown)
    return [
        ("Lines, CSV", "-lines.csv", "text/csv", partial(as_csv, shown)),
        export.picture("memcalc-batch", partial(figure, shown, card, settings.batch), said),
    ]


def table(shown: list[Over]) -> str:
    """Both lines at powers of two, as HTML: a grid of Streamlit's costs the browser more than the chart."""
    head = "".join(f'<th scope="col">{escape(one.title)}</th>' for one in shown)
    rows = "".join(
        f'<tr><th scope="row">{2**i}</th>{"".join(f"<td>{size(one.point[2**i - 1])}</td>" for one in shown)}</tr>'
        for i in range(MOST.bit_length())
    )
    return (
        '<div class="mc-tables"><div><table><caption><b>Memory on the card</b>, batch by batch</caption>'
        f'<thead><tr><th scope="col" style="text-align: left">batch</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def show(settings: Settings) -> list[MemcalcError]:
    """The sentences, the chart and its table; returns what the core refused."""
    shown, refused = lines(settings, range(1, MOST + 1))
    try:
        card = capacity(settings)
    except MemcalcError as error:
        card, refused = None, [*refused, error]
    if not shown:
        st.info("Nothing to show yet: see the note beside the settings.", icon=":material/info:")
        return refused
    said = [sentence(one, card) for one in shown]
    above = st.container()  # the chart is sent first: the browser needs longest for it
    st.plotly_chart(
        PlainFigure(export.room_for_camera(figure(shown, card, settings.batch))),
        key="batches",
        config=export.camera("memcalc-batch"),
        alt=" ".join(said),
    )
    above.html("".join(f'<p class="mc-why">{escape(line)}</p>' for line in said))
    st.html(table(shown))
    return refused
