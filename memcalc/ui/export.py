"""Taking an answer along: as JSON, CSV, Markdown, a figure; and a scenario there and back."""

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
from memcalc.ui import carry, controls, figures, pins
from memcalc.ui.colours import LABELS
from memcalc.ui.form import Json, Setting, get
from memcalc.ui.formulas import formula
from memcalc.ui.ledger import Run, shown_parts
from memcalc.ui.words import plain, size_of

LARGEST = 64 * units.KiB
"""Bytes of an uploaded scenario: a real one has less than one KiB."""

LEGEND = 50
"""Pixels for the names of the colours below an exported figure; on the page they are above it."""

CAMERA = 24
"""Pixels that the chart's camera needs above it."""

_NOTE = "_upload"


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


def as_markdown(runs: Sequence[Run]) -> str:
    """The estimates as tables to paste into an issue or a report."""
    return "\n".join(_markdown(run) for run in runs)


def _markdown(run: Run) -> str:
    scenario = run.estimate["scenario"]
    model = scenario["model"] if isinstance(scenario["model"], str) else json.dumps(scenario["model"])
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


def buttons(name: str, offers: Sequence[Offer]) -> None:
    """A button for each file. Files are made when they are asked for."""
    for label, end, mime, make in offers:
        st.download_button(label, make, name + end, mime, key=f"save-{label}", on_click="ignore", width="stretch")
    st.caption("The figure as PNG: the camera at its upper right.")


def menu(
    name: str, runs: Sequence[Run], scenarios: Sequence[Json], figure: Callable[[], dict[str, Any]], words: str
) -> None:
    """The button behind which everything can be taken along."""
    scenario = ("Scenario, JSON", "-scenario.json", "application/json", partial(as_json, scenarios))
    with st.popover("Take it along", icon=":material/download:", key="export"):
        buttons(name, [*estimates(runs), picture(name, figure, words), scenario])


def read_scenario(data: bytes, task: str) -> Json:
    """An uploaded scenario, or ValueError with a sentence."""
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {units.binary(LARGEST)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    scenario = pins.check(pins.loads(text, LARGEST))
    if scenario.get("task", "infer") != task:
        other = "Inference" if task == "train" else "Training"
        raise ValueError(f"it belongs on the page {other}")
    return scenario


def states_of(scenario: Json, settings: tuple[Setting, ...]) -> tuple[dict[str, Any], list[str]]:
    """The controls' states that say a scenario, and the fields that they cannot say."""
    model = scenario["model"]
    states: dict[str, Any] = {"source": controls.SOURCES[0], "model": model}
    if not isinstance(model, str):
        states = {"source": controls.SOURCES[1], "exact": str(round(model["parameters"]))}
    missing = []
    gpu = get(scenario, "hardware.gpu")
    label = next((name for name, value in controls.card_choices().items() if value == gpu), None)
    states["gpu"] = label or controls.USUAL_CARD
    missing += [] if label else ["hardware.gpu"]
    for setting in settings:
        value = get(scenario, setting.path)
        state = setting.state(setting.usual if value is None else value)
        if (
            state is None
            and value is not None
            and not any(other.path == setting.path and other.state(value) is not None for other in settings)
        ):  # two controls may share a field: a switch, and a choice of what it means
            missing.append(setting.path)
        states[setting.key] = setting.state(setting.usual) if state is None else state
    return states, missing


def _take(settings: tuple[Setting, ...], task: str) -> None:
    """Put an uploaded scenario into the controls; whatever is wrong with it is said, and nothing is lost."""
    given = st.session_state.get("upload")
    if given is None:
        st.session_state.pop(_NOTE, None)
        return
    name = re.sub(r"[^\w .-]", "", str(given.name))[:60]
    try:
        states, missing = states_of(read_scenario(given.getvalue(), task), settings)
    except ValueError as error:
        said = f"“{name}” was not taken over: {error}. Your settings are as they were."
        st.session_state[_NOTE] = ("bad", said, None)
        return
    carry.step()
    for key, state in states.items():
        st.session_state[key] = state
    said = f"The settings of “{name}” are shown."
    if missing:
        said += f" This page has no such value for {', '.join(missing)}: the usual one is shown."
    st.session_state[_NOTE] = ("good", said, None)


def upload(settings: tuple[Setting, ...], task: str) -> None:
    """The button behind which a scenario can be brought back."""
    with st.popover("Bring a scenario", icon=":material/upload:", key="import"):
        st.file_uploader(
            "A scenario as JSON", type="json", key="upload", max_upload_size=1,
            on_change=_take, args=(settings, task),
            help="A file saved here with “Scenario, JSON”, or written by hand.",
        )  # fmt: skip


def note(settings: object) -> None:
    """What came of the last upload, until the visitor changes something."""
    if _NOTE not in st.session_state:
        return
    kind, said, at = st.session_state[_NOTE]
    if at is None:
        st.session_state[_NOTE] = (kind, said, settings)
    elif at != settings:
        st.session_state.pop(_NOTE)
        return
    if kind == "bad":
        st.warning(plain(said), icon=":material/info:")
    else:
        st.success(plain(said), icon=":material/check:")
