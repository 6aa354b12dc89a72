"""The page "Sweep": any two fields, as a heat map or as curves, with the frontier of each chosen card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import streamlit as st

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.fit import device_for
from memcalc.hardware.live import is_live
from memcalc.scenario import Hardware
from memcalc.solve.axes import Axis, axes
from memcalc.solve.grid import REFUSED, Map
from memcalc.ui import bring, catalogues, controls, decide, export, frame, keep, map_answer, map_figures, redraw, words
from memcalc.ui.decide import Asked
from memcalc.ui.ledger import Run
from memcalc.ui.map_answer import KINDS
from memcalc.ui.map_figures import Limit
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.state import Settings

LINK: Final = "query-params"
CARDS: Final = "against"
"""The cards in a link: "cards" is how many share a batch, on the page Training."""
_NUMBER: Final = re.compile(r"\d[\d,]*")
USUAL_CARDS = ("16 GB card", "24 GB card", "80 GB card")


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    tools = frame.heading(
        "Sweep", "Memory over any two settings, and how far each card goes. Click a point to make it yours."
    )
    notes = st.container()
    asked = decide.ask()
    known = axes(asked.scenario)
    x, y, kind, cards = _choices(known)

    @redraw.part("chart")
    def chart() -> None:
        """The map, and what it and the choices of its axes say at the controls."""
        now = decide.again(asked.chosen)
        there = axes(now.scenario)
        refused = []
        if x.key == y.key:
            st.info("Choose two different settings.", icon=":material/info:")
        elif x.key in there and y.key in there:
            refused = _map(now, there[x.key], there[y.key], kind, cards)
        asked.chosen.remark(controls.current(), refused, [one.title for one in there.values()])
        frame.drop_notes()

    chart()
    with notes:
        frame.link_notes(given, lambda: allowed(known), (asked.scenario, x.key, y.key))
    with tools:
        keep.tools("memcalc-sweep", decide.now, partial(_offers, x, y, kind, cards), bring.with_changes)


def _offers(x: Axis, y: Axis, kind: str, cards: list[str], _runs: Sequence[Run]) -> list[export.Offer]:
    """The map as a table and as a picture to take along."""
    (scenario,) = decide.now().values()
    if x.key == y.key:
        return []
    machine = decide.machine(scenario)
    found = map_answer.answer(scenario, x, y, machine)
    limits = _limits(controls.current(), cards)
    drawn = map_answer.picture(scenario, x, y, limits, kind, machine)
    return [
        export.table("Map", "-map.csv", partial(map_answer.table, found)),
        export.picture("memcalc-sweep", lambda: drawn.figure, drawn.said),
    ]


def allowed(known: dict[str, Axis]) -> dict[str, Any]:
    """What a link to the page may say."""
    titles = [one.title for one in known.values()]
    return {**decide.allowed(), "x": titles, "y": titles, "kind": KINDS, CARDS: None}


def _choices(known: dict[str, Axis]) -> tuple[Axis, Axis, str, list[str]]:
    """The two axes, the kind of picture and the cards."""
    by_title = {one.title: one for one in known.values()}
    titles = list(by_title)
    with st.grid(4, min_column_width=190, gap="medium"):
        across = st.selectbox("Across", titles, index=0, key="x", bind=LINK)
        up = st.selectbox("Up", titles, index=1, key="y", bind=LINK)
        kind = st.segmented_control("As", KINDS, default=KINDS[0], required=True, key="kind", bind=LINK)
        cards = st.multiselect(
            "Cards", list(controls.card_choices()), default=list(USUAL_CARDS), key=CARDS, bind=LINK,
            max_selections=map_figures.MOST_CARDS,
        )  # fmt: skip
    return by_title.get(across, by_title[titles[0]]), by_title.get(up, by_title[titles[1]]), str(kind), cards


def _limits(settings: Settings, labels: list[str]) -> list[Limit]:
    """The chosen cards' limits, the reserve taken off; and the free memory, where that was given."""
    choices = controls.card_choices()
    found = []
    if settings.free is not None:
        found.append(Limit(f"free {units.binary(settings.free)}", settings.free - settings.reserve))
    for label in labels:
        gpu = choices.get(label)
        if gpu is None:
            continue
        try:
            device = device_for(Hardware(gpu), catalogues.machine() if is_live(gpu) else None)
        except MemcalcError:
            continue
        if device is not None:
            found.append(Limit(words.card(gpu, device.name).split(" (")[0], device.capacity - settings.reserve))
    return found[: map_figures.MOST_CARDS]


def _map(asked: Asked, x: Axis, y: Axis, kind: str, cards: list[str]) -> list[MemcalcError]:
    """The picture, its words and its table; returned is what the core refused."""
    limits = _limits(controls.current(), cards)
    try:
        drawn = map_answer.picture(asked.scenario, x, y, limits, kind, asked.machine)
    except MemcalcError as error:
        return [error]
    found = drawn.found
    if limits and len(drawn.none) == len(limits):
        least = units.binary(drawn.least)
        st.info(
            f"No point of this map fits the cards chosen: the least needs {least} at worst.", icon=":material/info:"
        )
    elif drawn.none:
        st.caption(words.plain(f"Nothing on this map fits the {' or the '.join(drawn.none)}."))

    def take() -> None:
        """Make the clicked point the scenario."""
        chosen = st.session_state[_key(kind)]["selection"]["points"]
        if chosen:
            _take(asked.task, found, chosen[0], kind == KINDS[0])
            redraw.whole()

    st.plotly_chart(PlainFigure(export.room_for_camera(drawn.figure)), key=_key(kind), on_select=take,
                    selection_mode="points", config=export.camera("memcalc-sweep"), alt=drawn.said)  # fmt: skip
    if found.refusals:
        st.caption("Empty cells are not possible: " + words.plain("; ".join(reasons(found.refusals))) + ".")
    place = st.expander("As a table", icon=":material/table:", key="map-table", on_change="rerun")
    if place.open:
        place.dataframe(map_answer.table(found), hide_index=True, key="map-figures")
        place.markdown(words.plain(drawn.said))
    return []


def reasons(refusals: Sequence[str]) -> list[str]:
    """Why cells are empty: of reasons that differ only in their numbers, the one with the smallest, which is where the
    empty cells begin. At most two."""
    first: dict[str, str] = {}
    for one in sorted(refusals, key=_numbers):
        first.setdefault(_NUMBER.sub("#", one), one)
    return list(first.values())[:2]


def _numbers(text: str) -> list[int]:
    return [int(one.replace(",", "")) for one in _NUMBER.findall(text)]


def _key(kind: str) -> str:
    return "map" if kind == KINDS[0] else "map-curves"


def _take(task: str, found: Map, point: dict[str, Any], heat: bool) -> None:
    """Apply the values of one cell."""
    column = round(float(point["x"]))
    row = round(float(point["y"])) if heat else int(point["customdata"][0])
    if not (0 <= row < len(found.ys) and 0 <= column < len(found.xs)) or found.point[row, column] == REFUSED:
        return
    decide.apply(task, decide.sets_of_axis(found.x, found.xs[column]) | decide.sets_of_axis(found.y, found.ys[row]))
