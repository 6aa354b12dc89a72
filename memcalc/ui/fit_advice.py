"""Below the verdict of the first page: the cheapest change that makes it fit, and all others behind a button.

It is looked for when the settings have rested, so that no slider waits for it. Until then what was said about the
settings before stays where it is, dimmed by the answer: nothing on the page moves meanwhile.
"""

from __future__ import annotations

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

_FOUND = "_advice"  # where a session keeps the advice that is shown: the settings, and by title what was found


def show(settings: Settings, fresh: bool) -> None:
    """The advice for what does not fit, or is tight; nothing where all fits or no card is chosen. Where the settings
    have not rested (``fresh`` is False), what was said last."""
    about, shown = st.session_state.get(_FOUND, (None, {}))
    if fresh and about != settings:
        shown = find(_wanted(settings))
        st.session_state[_FOUND] = settings, shown
    for title, found in shown.items():
        _draw(title, *found)


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


def find(wanted: Mapping[str, Json]) -> dict[str, tuple[Advice, Plan]]:
    """The advice for each scenario, by its title."""
    found = {}
    for title, scenario in wanted.items():
        live = is_live(str(get(scenario, "hardware.gpu") or ""))
        found[title] = advice_view.advice(scenario, catalogues.machine() if live else None)
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
