"""The timeline page: the switch, the answer, the chart, and the tensors of its highest instant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final

import streamlit as st

import memcalc
from memcalc.errors import MemcalcError
from memcalc.ui import (
    catalogues,
    controls,
    export,
    redraw,
    rest,
    result,
    timeline_figures,
    timeline_markup,
    timeline_words,
)
from memcalc.ui.colours import LABELS
from memcalc.ui.ledger import Run
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.state import Settings
from memcalc.ui.timeline_bands import Strip, strip
from memcalc.ui.timeline_tensors import Row, of_part, rows

VIEWS: Final = ("Training step", "Generation")
EVERYTHING: Final = "everything"
#: This page's own controls.
KEYS: Final = ("view", "part")
#: The components that a view's switch offers.
PARTS: Final = {
    VIEWS[0]: ("weights", "gradients", "optimizer", "activations", "temporary", "overhead"),
    VIEWS[1]: ("weights", "kv_cache", "temporary", "overhead"),
}


def allowed(view: str | None) -> dict[str, Any]:
    """What a link to this page may carry beside the controls."""
    return {"view": VIEWS, "part": choices(view if view in VIEWS else VIEWS[0])}


def choices(view: str) -> list[str]:
    """The names in the component switch."""
    return [EVERYTHING, *(LABELS[part] for part in PARTS[view])]


def _laid(asked: str, task: str, overhead: tuple[tuple[str, int], ...]) -> tuple[Strip, list[Row]]:
    """The chart's steps and the table's rows for a scenario."""
    found = memcalc.timeline(json.loads(asked), False, catalogues.machine())
    above = dict(overhead)
    return strip(found.points, found.peak, task, sum(above.values())), rows(found.tensors, above)


#: They depend on nothing but the question, so all visitors may share them; nobody changes one.
_remembered = lru_cache(maxsize=256)(_laid)


def switch() -> str:
    """Training step or generation."""
    return str(
        st.segmented_control(
            "Timeline of", VIEWS, default=VIEWS[0], required=True, key="view", bind=controls.LINK, on_change=_fit_part,
            label_visibility="collapsed",
        )
    )  # fmt: skip


def _fit_part() -> None:
    """A component that the other view does not have gives way to everything."""
    if st.session_state.get("part") not in choices(st.session_state["view"]):
        st.session_state["part"] = EVERYTHING


def _asked(settings: Settings, view: str) -> tuple[Run, Strip, list[Row]]:
    """The view's estimate, the chart's steps and the table's rows."""
    task = "train" if view == VIEWS[0] else "infer"
    scenario = settings.training() if task == "train" else settings.inference()
    answer = result.ask(view, scenario)
    return answer, *_remembered(json.dumps(scenario), task, tuple(answer.overhead.items()))


def verdict(settings: Settings, view: str, fresh: bool) -> None:
    """The answer in words; ``fresh``: the settings rest on it."""
    try:
        answer, drawn, _ = _asked(settings, view)
    except MemcalcError:
        why = "These settings do not go together: see the note beside them."
        st.html(timeline_markup.answers([("", "No timeline", why)]))
        return
    state, line = timeline_words.against(answer, result.card_of([answer], settings.gpu)[0])
    said = timeline_markup.answers([(state, timeline_words.headline(drawn), line)])
    st.html(said if fresh else said + rest.DIM)


def chart(settings: Settings, view: str) -> list[MemcalcError]:
    """The chart of one view. Or the core's refusal."""
    try:
        answer, drawn, listed = _asked(settings, view)
    except MemcalcError as error:
        st.info("Nothing to show yet: see the note beside the settings.", icon=":material/info:")
        return [error]
    card, capacity = result.card_of([answer], settings.gpu)
    above = st.container()  # the chart is sent first: the browser needs longest for it
    st.plotly_chart(
        PlainFigure(export.room_for_camera(timeline_figures.steps_chart(drawn, _chosen(view), card, capacity))),
        key="timeline",
        config=export.camera("memcalc-timeline"),
        on_select=_clicked,
        selection_mode="points",
        alt=timeline_words.alternative(drawn, card, capacity),
    )
    above.html(timeline_markup.why(timeline_words.sentence(drawn, listed)) + timeline_markup.legend(drawn.parts))
    return []


def details(settings: Settings, view: str) -> None:
    """The tensors of the highest instant, and the chart's figures: drawn once the settings rest."""
    part = _chosen(view)
    with st.container(key="more"):
        try:
            _, drawn, listed = _asked(settings, view)
        except MemcalcError:
            return
        _tensors(of_part(listed, part), LABELS.get(part, "all components"))
        with st.container(key="figures"):
            st.html(timeline_markup.phases(drawn))


def picture(settings: Settings, runs: Sequence[Run]) -> list[export.Offer]:
    """The chart as a file to take along."""
    task = "train" if st.session_state.get("view", VIEWS[0]) == VIEWS[0] else "infer"
    found = [run for run in runs if run.estimate["scenario"]["task"] == task]
    if not found:
        return []
    scenario = settings.training() if task == "train" else settings.inference()
    drawn, _ = _remembered(json.dumps(scenario), task, tuple(found[0].overhead.items()))
    card, capacity = result.card_of(found, settings.gpu)
    make = partial(timeline_figures.steps_chart, drawn, "", card, capacity)
    return [export.picture("memcalc-timeline", make, timeline_words.alternative(drawn, card, capacity))]


def part_switch(view: str) -> None:
    """The component switch."""
    st.pills(
        "Tensors at the highest instant", choices(view), default=EVERYTHING, required=True, key="part",
        bind=controls.LINK, help="A click on a colour in the chart chooses it too.",
    )  # fmt: skip


def _chosen(view: str) -> str:
    """The component that is chosen; empty for everything."""
    name = st.session_state.get("part")
    return next((part for part in PARTS[view] if LABELS[part] == name), "")


def _tensors(own: list[Row], what: str) -> None:
    if not own:
        st.info(f"At the highest instant there are no {what}.", icon=":material/info:")
        return
    st.plotly_chart(
        PlainFigure(export.room_for_camera(timeline_figures.tensor_map(own))),
        key="tensor-map",
        config=export.camera("memcalc-tensors"),
        alt=timeline_words.map_alternative(own, what),
    )
    with st.container(key="tensors"):
        st.html(timeline_markup.tensors(own, what))


def _clicked() -> None:
    """A click on a layer chooses its component; another click on it shows everything again."""
    points = st.session_state["timeline"]["selection"]["points"]
    if not points:
        return
    label = points[0].get("legendgroup") or ""
    view = st.session_state.get("view", VIEWS[0])
    if label in choices(view):
        st.session_state["part"] = EVERYTHING if st.session_state.get("part") == label else label
        redraw.whole()
