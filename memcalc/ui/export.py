"""Taking an answer along: as JSON, CSV, Markdown, a figure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from memcalc import units
from memcalc.ui import figures, own_models
from memcalc.ui.colours import LABELS
from memcalc.ui.formulas import formula
from memcalc.ui.ledger import Run, shown_parts
from memcalc.ui.words import size_of

LEGEND = 50
"""Pixels for the names of the colours below an exported figure; on the page they are above it."""

CAMERA = 24
"""Pixels that the chart's camera needs above it."""


def camera(name: str) -> dict[str, Any]:
    """A chart's configuration with one button: its own camera, for a PNG at twice the size."""
    picture = {"format": "png", "filename": name, "scale": 2}
    shown = {"displayModeBar": True, "displaylogo": False, "modeBarButtons": [["toImage"]]}
    return {**figures.CONFIG, **shown, "toImageButtonOptions": picture}


def room_for_camera(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure with a margin above it, so that the camera covers nothing of it on a phone."""
    layout = figure["layout"]
    margin = {**layout["margin"], "t": layout["margin"]["t"] + CAMERA}
    return {**figure, "layout": {**layout, "margin": margin, "height": layout["height"] + CAMERA}}


def as_json(values: Sequence[Mapping[str, Any]]) -> str:
    """An object of the contract; a list of them where there are several."""
    return json.dumps(values[0] if len(values) == 1 else values, indent=2, ensure_ascii=False) + "\n"


def as_csv(runs: Sequence[Run]) -> str:
    """One row a run, phase and component, in bytes and GiB."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["run", "phase", "component", "bytes", "GiB", "highest phase"])
    for run, bar in [(one, bar) for one in runs for bar in one.bars]:
        for part in shown_parts([run]):
            size = bar.parts[part]
            rows.writerow([run.title, bar.phase, LABELS[part], size, f"{units.gib(size):.4f}", str(bar.highest)])
    return text.getvalue()


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table's rows, the names of the first one's columns above them."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    if rows:
        table.writerow(rows[0])
        table.writerows(row.values() for row in rows)
    return text.getvalue()


def as_markdown(runs: Sequence[Run]) -> str:
    """The estimates as tables to paste into an issue or a report."""
    return "\n".join(_markdown(run) for run in runs)


def _markdown(run: Run) -> str:
    scenario = run.estimate["scenario"]
    model = own_models.name(scenario["model"]) or json.dumps(scenario["model"])
    fit = run.estimate.get("fit")
    lines = [f"### {run.title}: {_inert(model)}", "", f"Peak on the card: **{size_of(run)}**, in the {run.peak.short}."]
    if fit:
        lines.append(f"{_inert(fit['gpu'])} ({units.binary(fit['capacity'])}): **{fit['verdict']}**.")
    phases = [bar.short for bar in run.bars]
    lines += ["", f"| | {' | '.join(phases)} | how |", f"|---|{'---:|' * len(phases)}---|"]
    for part in shown_parts([run]):
        sizes = " | ".join(units.binary(bar.parts[part]) if bar.parts[part] else "–" for bar in run.bars)
        how = formula(run, max(run.bars, key=lambda bar: bar.parts[part]), part)
        lines.append(f"| {LABELS[part]} | {sizes} | {how} |")
    lines.append(f"| **total** | {' | '.join(f'**{units.binary(bar.total)}**' for bar in run.bars)} | |")
    assumed = [f"- {_inert(line)}" for line in run.estimate.get("assumptions", [])]
    return "\n".join([*lines, "", *assumed, "", "```json", json.dumps(scenario, indent=2), "```", ""])


def as_html(figure: dict[str, Any], title: str, words: str) -> str:
    """The figure as one file that needs no network: the drawing code is inside."""
    import plotly.graph_objects  # only when somebody asks: it takes a moment

    legend = {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "traceorder": "normal"}
    margin = {**figure["layout"]["margin"], "b": figure["layout"]["margin"]["b"] + LEGEND}
    drawn = room_for_camera(
        {
            "data": [{**trace, "showlegend": trace["type"] == "bar"} for trace in figure["data"]],
            "layout": {
                **figure["layout"],
                "margin": margin,
                "height": figure["layout"]["height"] + LEGEND,
                "template": "plotly_white",
                "showlegend": True,
                "legend": legend,
            },
        }
    )
    chart = plotly.graph_objects.Figure(drawn).to_html(
        include_plotlyjs=True, full_html=False, config=camera(title), default_height=f"{drawn['layout']['height']}px"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"></head>'
        f'<body style="font-family:sans-serif"><figure role="figure">{chart}'
        f"<figcaption>{escape(words)}</figcaption></figure></body></html>"
    )


def _inert(text: object) -> str:
    """Text that stays text in a Markdown file, and readable as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(text).split()))


Offer = tuple[str, str, str, Callable[[], str]]
"""A file to take along: its label, the end of its name, its type, and how it is made."""


def estimates(runs: Sequence[Run]) -> list[Offer]:
    """The estimates in three formats."""
    return [
        ("Estimate, JSON", ".json", "application/json", partial(as_json, [run.estimate for run in runs])),
        ("Estimate, CSV", ".csv", "text/csv", partial(as_csv, runs)),
        ("Estimate, Markdown", ".md", "text/markdown", partial(as_markdown, runs)),
    ]


def picture(name: str, figure: Callable[[], dict[str, Any]], words: str) -> Offer:
    """The figure as a file that stands alone."""
    return ("Figure, HTML", ".html", "text/html", lambda: as_html(figure(), name, words))


def table(label: str, end: str, rows: Callable[[], Sequence[Mapping[str, Any]]]) -> Offer:
    """A table as CSV."""
    return (f"{label}, CSV", end, "text/csv", lambda: rows_csv(rows()))


def buttons(name: str, offers: Sequence[Offer]) -> None:
    """A button for each file. Files are made when they are asked for."""
    for label, end, mime, make in offers:
        st.download_button(label, make, name + end, mime, key=f"save-{label}", on_click="ignore", width="stretch")
    if any(mime == "text/html" for _, _, mime, _ in offers):
        st.caption("The figure as PNG: the camera at its upper right.")
