"""Keeping what is on a page that shows training and inference together: pins for Compare, files to take along.

Both stand outside the part of the page that a slider redraws. A pin reads the controls when it is pressed,
and what is behind the export button is made when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from memcalc.errors import MemcalcError
from memcalc.ui import controls, export, pins, result
from memcalc.ui.ledger import Run
from memcalc.ui.state import Settings

TRAINING, INFERENCE, BOTH = "Training", "Inference", "Both"
Offers = Callable[[Settings, Sequence[Run]], Sequence[export.Offer]]


def row(name: str, offers: Offers) -> None:
    """The buttons; ``offers`` says what this page has to take along besides the estimates and scenarios."""
    pins.hold()
    with st.container(horizontal=True, gap="small", key="actions"):
        full = len(pins.pinned()[0]) >= pins.MOST
        st.menu_button(
            "Pin", (TRAINING, INFERENCE, BOTH), key="pin", icon=":material/keep:", on_click=_pin, disabled=full,
            help=pins.FULL if full else pins.HOW,
        )  # fmt: skip
        pins.link()
        place = st.popover("Take it along", icon=":material/download:", key="export", on_change="rerun")
        if place.open:
            with place:
                _files(name, offers)


def _pin() -> None:
    """Pin what the controls say now."""
    wish, settings = st.session_state["pin"], controls.current()
    wanted = {TRAINING: settings.training(), INFERENCE: settings.inference()}
    pins.add(*(scenario for title, scenario in wanted.items() if wish in (title, BOTH)))


def _files(name: str, offers: Offers) -> None:
    settings = controls.current()
    runs, scenarios = [], {}
    for title, scenario in ((TRAINING, settings.training()), (INFERENCE, settings.inference())):
        scenarios[title] = scenario
        try:
            runs.append(result.ask(title, scenario))
        except MemcalcError:
            continue  # said beside the controls
    if not runs:
        st.caption("These settings do not go together: there is nothing to take along.")
        return
    listed = [*export.estimates(runs), *offers(settings, runs)]
    listed += [(f"{title} scenario, JSON", f"-{title.lower()}-scenario.json", "application/json",
                _scenario_file(scenario)) for title, scenario in scenarios.items()]  # fmt: skip
    export.buttons(name, listed)
    st.caption("A scenario can be brought back on the pages Training and Inference.")


def _scenario_file(scenario: dict[str, Any]) -> Callable[[], str]:
    return lambda: export.as_json([scenario])
