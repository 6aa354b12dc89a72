"""The page "Sweep": any two fields, as a heat map or as curves, with the frontier of each chosen card."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final

import streamlit as st

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.fit import device_for
from memcalc.hardware.live import is_live
from memcalc.hardware.machine import Machine
from memcalc.scenario import Hardware
from memcalc.scenario.paths import Json, get
from memcalc.shared import Shared
from memcalc.solve.axes import Axis, axes
from memcalc.solve.grid import REFUSED, Map, grid
from memcalc.solve.verdict import understood
from memcalc.ui import bring, catalogues, controls, decide, export, frame, keep, map_figures, words
from memcalc.ui.decide import Asked
from memcalc.ui.ledger import Run
from memcalc.ui.map_figures import Limit
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.state import Settings

LINK: Final = "query-params"
KINDS = ("Heat map", "Curves")
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
    if x.key == y.key:
        st.info("Choose two different settings.", icon=":material/info:")
    else:
        _map(asked, x, y, kind, cards)
    with notes:
        frame.link_notes(given, lambda: allowed(known), (asked.scenario, x.key, y.key))
    with tools:
        keep.tools("memcalc-sweep", decide.now, partial(_offers, x, y, kind, cards), bring.with_changes)


def _offers(x: Axis, y: Axis, kind: str, cards: list[str], _runs: Sequence[Run]) -> list[export.Offer]:
    """The map as a table and as a picture to take along."""
    (scenario,) = decide.now().values()
    if x.key == y.key:
        return []
    found = answer(scenario, x.key, y.key, decide.machine(scenario))
    settings = controls.current()
    limits = _limits(settings, cards)
    shown = map_figures.trimmed(found, limits, place_of(scenario, found))
    figure = partial(_figure, scenario, shown, limits, kind)
    return [
        export.table("Map", "-map.csv", partial(table, found)),
        export.picture("memcalc-sweep", figure, map_figures.words(shown, limits)),
    ]


def _figure(scenario: Json, found: Map, limits: list[Limit], kind: str) -> dict[str, Any]:
    if kind == KINDS[0]:
        return map_figures.heat_map(found, limits, place_of(scenario, found))
    return map_figures.curves(found, limits)


def allowed(known: dict[str, Axis]) -> dict[str, Any]:
    """What a link to the page may say."""
    titles = [one.title for one in known.values()]
    return {**decide.allowed(), "x": titles, "y": titles, "kind": KINDS, "cards": None}


def _choices(known: dict[str, Axis]) -> tuple[Axis, Axis, str, list[str]]:
    """The two axes, the kind of picture and the cards."""
    by_title = {one.title: one for one in known.values()}
    titles = list(by_title)
    with st.grid(4, min_column_width=190, gap="medium"):
        across = st.selectbox("Across", titles, index=0, key="x", bind=LINK)
        up = st.selectbox("Up", titles, index=1, key="y", bind=LINK)
        kind = st.segmented_control("As", KINDS, default=KINDS[0], required=True, key="kind", bind=LINK)
        cards = st.multiselect(
            "Cards", list(controls.card_choices()), default=list(USUAL_CARDS), key="cards", bind=LINK,
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


def answer(scenario: Json, x: str, y: str, machine: Machine | None = None) -> Map:
    """The map; remembered, unless it is about a GPU of this machine."""
    asked = json.dumps(scenario)
    return _remembered(asked, x, y) if machine is None else _fresh(asked, x, y, machine)


def _fresh(asked: str, x: str, y: str, machine: Machine | None = None) -> Map:
    scenario = json.loads(asked)
    known = axes(scenario)
    return grid(scenario, known[x], known[y], None, None, True, False, Shared(machine=machine))


_remembered = lru_cache(maxsize=64)(_fresh)


def place_of(scenario: Json, found: Map) -> map_figures.Point | None:
    """The current scenario's cell (row, column), if it is on the map."""
    try:
        filled = understood(scenario, False)
    except MemcalcError:
        return None
    now = []
    for axis, values in ((found.y, found.ys), (found.x, found.xs)):
        value = get(filled, axis.path)
        if value not in values:
            return None
        now.append(values.index(value))
    return now[0], now[1]


def _map(asked: Asked, x: Axis, y: Axis, kind: str, cards: list[str]) -> None:
    """The picture, its words and its table."""
    try:
        found = answer(asked.scenario, x.key, y.key, asked.machine)
    except MemcalcError as error:
        asked.chosen.refuse([error])
        return
    limits = _limits(asked.chosen.settings, cards)
    found = map_figures.trimmed(found, limits, place_of(asked.scenario, found))
    none = [limit.name for limit in limits if not map_figures.fits(found, limit).any()]
    if limits and len(none) == len(limits):
        least = units.binary(int(found.high[found.high != REFUSED].min(initial=2**62)))
        st.info(
            f"No point of this map fits the cards chosen: the least needs {least} at worst.", icon=":material/info:"
        )
    elif none:
        st.caption(words.plain(f"Nothing on this map fits the {' or the '.join(none)}."))
    heat = kind == KINDS[0]
    figure = _figure(asked.scenario, found, limits, kind)
    said = map_figures.words(found, limits)

    def take() -> None:
        """Make the clicked point the scenario."""
        chosen = st.session_state[_key(kind)]["selection"]["points"]
        if chosen:
            _take(asked.task, found, chosen[0], heat)

    st.plotly_chart(PlainFigure(export.room_for_camera(figure)), key=_key(kind), on_select=take,
                    selection_mode="points", config=export.camera("memcalc-sweep"), alt=said)  # fmt: skip
    if found.refusals:
        st.caption("Empty cells are not possible: " + words.plain("; ".join(reasons(found.refusals))) + ".")
    place = st.expander("As a table", icon=":material/table:", key="map-table", on_change="rerun")
    if place.open:
        place.dataframe(table(found), hide_index=True, key="map-figures")
        place.markdown(words.plain(said))


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
    row = round(float(point["y"])) if heat else int(point["customdata"])
    if not (0 <= row < len(found.ys) and 0 <= column < len(found.xs)) or found.point[row, column] == REFUSED:
        return
    decide.apply(task, decide.sets_of_axis(found.x, found.xs[column]) | decide.sets_of_axis(found.y, found.ys[row]))


def table(found: Map) -> list[dict[str, str]]:
    """The points as rows of text."""
    listed = []
    for i, y in enumerate(found.ys):
        row = {found.y.title: found.y.name(y)}
        for j, x in enumerate(found.xs):
            size = int(found.point[i, j])
            row[found.x.name(x)] = "–" if size == REFUSED else units.binary(size)
        listed.append(row)
    return listed
