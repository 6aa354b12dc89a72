"""Below the verdict of the first page: the cheapest change that makes it fit, and all others behind a button.

It is looked for when the visitor's hand is off the controls, so that no slider waits for it: a fragment comes back
after a moment, finds the settings as they were, looks, and draws the page once more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from memcalc.advise import Advice, Plan
from memcalc.errors import MemcalcError
from memcalc.hardware.live import is_live
from memcalc.scenario.paths import Json, get
from memcalc.ui import advice_view, carry, catalogues, decide, result
from memcalc.ui.state import Settings

PAUSE = 0.7  # seconds of rest before advice is looked for
_FOUND, _WAITING = "_advice", "_advice_for"


def show(settings: Settings) -> None:
    """The advice for what does not fit, or is tight; nothing where all fits or no card is chosen."""
    wanted = _wanted(settings)
    if not wanted:
        return
    known: dict[str, tuple[Advice, Plan]] = st.session_state.get(_FOUND, {})
    asked = {title: json.dumps(scenario) for title, scenario in wanted.items()}
    if all(one in known for one in asked.values()):
        for title, one in asked.items():
            _draw(title, *known[one])
    else:
        _later(wanted)


def _wanted(settings: Settings) -> dict[str, Json]:
    """The scenarios that need advice, by title."""
    found = {}
    for title, scenario in (("Training", settings.training()), ("Inference", settings.inference())):
        try:
            fit = result.ask(title, scenario).estimate.get("fit")
        except MemcalcError:
            continue
        if fit and fit["verdict"] != "fits":
            found[title] = scenario
    return found


@st.fragment(run_every=PAUSE)
def _later(wanted: Mapping[str, Json]) -> None:
    """Look once the settings have been the same for a moment."""
    asked = {title: json.dumps(scenario) for title, scenario in wanted.items()}
    if st.session_state.get(_WAITING) != asked:
        st.session_state[_WAITING] = asked
        return
    st.session_state[_FOUND] = find(wanted)
    st.rerun()


def find(wanted: Mapping[str, Json]) -> dict[str, tuple[Advice, Plan]]:
    """The advice for each scenario, by its question."""
    found = {}
    for scenario in wanted.values():
        live = is_live(str(get(scenario, "hardware.gpu") or ""))
        found[json.dumps(scenario)] = advice_view.advice(scenario, catalogues.machine() if live else None)
    return found


def _draw(title: str, found: Advice, best: Plan) -> None:
    task = decide.TASKS[title]
    with st.container(gap="xsmall", key=f"advice-{task}"):
        advice_view.cheapest(best, partial(apply, task), task, f"{title}: ")
        place = st.expander(f"All changes to {title.lower()}", key=f"advice-all-{task}", on_change="rerun")
        if place.open:
            with place:
                advice_view.listed(found, partial(apply, task), task)


def apply(task: str, sets: Mapping[str, Any]) -> None:
    """Make the changes here if this page's controls can show them all; else on the page that can hold them."""
    states = decide.effect(task, sets)
    if states[decide.ALSO] != (st.session_state.get(decide.ALSO) or ""):
        title = next(name for name, one in decide.TASKS.items() if one == task)
        carry.leave(decide.PAGE, task=title, **{key: carry.text(state) for key, state in states.items()})
        return
    carry.step()
    for key in states.keys() - {decide.ALSO}:
        st.session_state[key] = states[key]
