"""Keeping what a page shows, the same on every page: pins for Compare, files to take along, a scenario brought back.

The row stands outside the part of the page that a slider redraws. It reads the controls when it is pressed, and what
is behind its buttons is made when they are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st

from memcalc.errors import MemcalcError
from memcalc.ui import bring, controls, export, pins, result
from memcalc.ui.form import Json
from memcalc.ui.ledger import Run
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

TRAINING, INFERENCE, BOTH = "Training", "Inference", "Both"
Scenarios = Callable[[], Mapping[str, Json]]
"""What the page's controls say now: its scenarios by title."""
Offers = Callable[[Sequence[Run]], Sequence[export.Offer]]
"""What a page has to take along besides estimates and scenarios."""


def row(name: str, offers: Callable[[Settings, Sequence[Run]], Sequence[export.Offer]]) -> None:
    """The buttons of a page that shows training and inference together."""

    def scenarios() -> dict[str, Json]:
        settings = controls.current()
        return {TRAINING: settings.training(), INFERENCE: settings.inference()}

    tools(name, scenarios, lambda runs: offers(controls.current(), runs), bring.first_page, (TRAINING, INFERENCE))


def tools(name: str, scenarios: Scenarios, offers: Offers, take: bring.Take, titles: Sequence[str] = ()) -> None:
    """The buttons. ``titles`` are the scenarios' where there are several to choose from, ``name`` begins the files'
    names, ``take`` puts a scenario into the page's controls."""
    pins.hold()
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        full = len(pins.pinned()[0]) >= pins.MOST
        said = pins.FULL if full else pins.HOW
        if titles:
            st.menu_button("Pin", [*titles, BOTH], key="pin", icon=":material/keep:", on_click=_pin_wish,
                           args=(scenarios,), disabled=full, help=said)  # fmt: skip
        else:
            st.button("Pin", key="pin", icon=":material/keep:", on_click=_pin, args=(scenarios,), disabled=full,
                      help=said)  # fmt: skip
        pins.link()
        along(name, scenarios, offers, apart=bool(titles))
        bring.button(take)


def along(name: str, scenarios: Scenarios, offers: Offers, apart: bool = False) -> None:
    """The button behind which everything can be taken along; scenarios in files of their own if ``apart``."""
    place = st.popover("Take it along", icon=":material/download:", key="export", on_change="rerun")
    if place.open:
        with place:
            _files(name, scenarios(), offers, apart)


def _pin_wish(scenarios: Scenarios) -> None:
    _pin(scenarios, st.session_state["pin"])


def _pin(scenarios: Scenarios, wish: str = BOTH) -> None:
    """Pin what the controls say now, as far as it can be answered, and say what came of it."""
    wanted = [one for title, one in scenarios().items() if wish in (title, BOTH)]
    before = len(pins.pinned()[0])
    try:
        pins.add(*(pins.check(one) for one in wanted))
    except ValueError as error:
        st.toast(plain(f"Not pinned: {error}."), icon=":material/info:")
        return
    after = len(pins.pinned()[0])
    said = "Pinned." if after > before else "It is pinned already."
    st.toast(f"{said} {after} of {pins.MOST} places are taken.", icon=":material/keep:")


def _files(name: str, scenarios: Mapping[str, Json], offers: Offers, apart: bool) -> None:
    runs = []
    for title, scenario in scenarios.items():
        try:
            runs.append(result.ask(title, scenario))
        except MemcalcError:
            continue  # said beside the controls
    if not runs:
        st.caption("These settings do not go together: there is nothing to take along.")
        return
    listed = [*export.estimates(runs), *offers(runs)]
    if apart:
        listed += [_scenario(f"{title} scenario, JSON", f"-{title.lower()}-scenario.json", [scenario])
                   for title, scenario in scenarios.items()]  # fmt: skip
    else:
        listed.append(_scenario("Scenario, JSON", "-scenario.json", list(scenarios.values())))
    export.buttons(name, listed)
    st.caption("A scenario can be brought back with “Bring a scenario”, on every page that has it.")


def _scenario(label: str, end: str, scenarios: Sequence[Json]) -> export.Offer:
    return (label, end, "application/json", partial(export.as_json, scenarios))
