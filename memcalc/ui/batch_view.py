"""The batch page: memory against the batch, training and inference on one chart, with the card's line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

import memcalc
from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.fit import device_for
from memcalc.scenario import Scenario
from memcalc.ui import catalogues, figures, words
from memcalc.ui.colours import COLOURS, LINE
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.state import Settings

MOST = 64
#: How many times the card's capacity the chart reaches at most.
CARDS_HIGH = 3
#: Training in the colour of what only it holds, inference in that of its cache.
SHADES = {"Training": COLOURS["gradients"], "Inference": COLOURS["kv_cache"]}


@dataclass(frozen=True)
class Line:
    """Device memory (bytes) for each batch from 1 on: the point and its range."""

    title: str
    point: list[int]
    low: list[int]
    high: list[int]

    @property
    def slope(self) -> int:
        """Bytes that one more sequence costs, where the batch is large."""
        return (self.point[-1] - self.point[len(self.point) // 2]) // (len(self.point) - 1 - len(self.point) // 2)

    @property
    def fixed(self) -> int:
        """Bytes that are there whatever the batch: where the line of that slope starts."""
        return self.point[-1] - self.slope * len(self.point)

    def largest(self, limit: int) -> int:
        """The largest batch whose whole range is within ``limit`` bytes; 0 if none is."""
        return sum(1 for size in self.high if size <= limit)


def lines(settings: Settings, batches: Sequence[int]) -> tuple[list[Line], list[MemcalcError]]:
    """Both runs over the batches, each in one sweep; and what the core refused."""
    found, refused = [], []
    for title, scenario in (("Training", settings.training()), ("Inference", settings.inference())):
        try:
            one = memcalc.sweep(scenario, False, catalogues.machine(), batch=list(batches))
        except MemcalcError as error:
            refused.append(error)
            continue
        found.append(Line(title, one.device.tolist(), one.device_low.tolist(), one.device_high.tolist()))
    return found, refused


def capacity(settings: Settings) -> tuple[str, int] | None:
    """What to call the chosen card, and what processes can use of it."""
    if not settings.gpu:
        return None
    device = device_for(Scenario.read(settings.inference()).hardware, catalogues.machine())
    return (words.card(settings.gpu, device.name), device.capacity) if device else None


def figure(shown: list[Line], card: tuple[str, int] | None) -> dict[str, Any]:
    """Lines with their ranges as bands, and the card's capacity, in GiB."""
    data: list[dict[str, Any]] = []
    for one in shown:
        xs, colour = list(range(1, len(one.point) + 1)), SHADES[one.title]
        band = [units.gib(size) for size in (*one.high, *reversed(one.low))]
        data.append(
            {"type": "scatter", "x": xs + xs[::-1], "y": band, "fill": "toself", "fillcolor": colour + "33",
             "line": {"width": 0}, "mode": "lines", "hoverinfo": "skip", "showlegend": False}
        )  # fmt: skip
        hover = [f"{units.binary(size)} ({units.decimal(size)})" for size in one.point]
        data.append(
            {"type": "scatter", "x": xs, "y": [units.gib(size) for size in one.point], "mode": "lines",
             "line": {"color": colour, "width": 3}, "name": one.title, "customdata": hover,
             "hovertemplate": "<b>%{fullData.name}</b>, batch %{x}<br>%{customdata}<extra></extra>"}
        )  # fmt: skip
    # A card far below the steeper line would lie flat on the axis: look no higher than a few cards.
    highest = max(one.point[-1] for one in shown)
    top = min(highest, CARDS_HIGH * card[1]) if card else highest
    notes = []
    for one in shown:
        last = max((i for i, size in enumerate(one.point) if size <= top), default=0)
        notes.append(
            {
                "x": last + 1,
                "y": units.gib(one.point[last]),
                "text": f"<b>{one.title}</b>",
                "showarrow": False,
                "xanchor": "right" if last > MOST // 4 else "left",
                "yanchor": "bottom",
                "yshift": 6,
            }
        )
    shapes = []
    if card:
        level = units.gib(card[1])
        shapes.append(
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level,
             "line": {"color": LINE, "width": 3, "dash": "dash"}}
        )  # fmt: skip
        notes.append(
            {"xref": "paper", "x": 0, "y": level, "text": f"{card[0]}: {units.binary(card[1])}", "showarrow": False,
             "xanchor": "left", "yanchor": "bottom"}
        )  # fmt: skip
    return {
        "data": data,
        "layout": {
            "height": 420, "margin": {"l": 54, "r": 12, "t": 16, "b": 48}, "showlegend": False, "shapes": shapes,
            "annotations": notes, "hovermode": "closest", "uirevision": "batch",
            "xaxis": {"title": {"text": "sequences at once (batch)"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "GiB on the card"}, "range": [0, 1.12 * units.gib(top)]},
        },
    }  # fmt: skip


def sentence(one: Line, card: tuple[str, int] | None) -> str:
    """A line in words: its fixed part, its slope, and the largest batch that fits."""
    said = (
        f"{one.title}: {units.binary(max(one.fixed, 0))} whatever the batch, and {units.binary(one.slope)} for each "
        "further sequence."
    )
    if card is None:
        return said
    most = one.largest(card[1])
    if most == 0:
        return f"{said} Not even one sequence is sure to fit the {card[0]}."
    more = " or more" if most == len(one.point) else ""
    return f"{said} Up to {most}{more} fit the {card[0]}."


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
    for line in said:
        st.markdown(words.plain(line))
    st.plotly_chart(PlainFigure(figure(shown, card)), key="batches", config=figures.CONFIG, alt=" ".join(said))
    rows = [2**i for i in range(MOST.bit_length())]
    table = {"batch": rows, **{one.title: [units.binary(one.point[row - 1]) for row in rows] for one in shown}}
    st.dataframe(table, hide_index=True, key="batch-table")
    return refused
