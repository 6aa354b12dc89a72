"""One case of the page Accuracy: both figures, its scenario, and where to go from there."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import streamlit as st

from memcalc import units
from memcalc.accuracy import MeasuredCase, TracedCase
from memcalc.errors import MemcalcError
from memcalc.ui import bring, inference_settings, result, trace_table, trace_view, training_settings
from memcalc.ui.accuracy_cases import Case, page_scenario
from memcalc.ui.accuracy_figures import percent
from memcalc.ui.colours import COMPONENTS, LABELS
from memcalc.ui.form import Json
from memcalc.ui.words import plain


def show(case: Case) -> None:
    """Everything about it. The estimate is made anew, so that it is today's."""
    with st.container(border=True, key="chosen-case", gap="small"):
        st.markdown(f"**{plain(case.dot.name)}**")
        try:
            now = result.ask("Training" if case.dot.training else "Inference", case.scenario).estimate
        except MemcalcError as error:
            st.warning(plain(error.message), icon=":material/info:")
            return
        if isinstance(case.of, TracedCase):
            st.html(_traced(case.of, now))
            said = "as in the record" if now["peak"]["tensors"] == case.of.estimated else "not as in the record"
            st.caption(f"Estimated anew just now, {said}.")
        else:
            st.html(_measured(case.of))
        with st.container(horizontal=True, gap="small"):
            _leads(case)
        with st.container(horizontal=True, gap="small"):
            trace_view.buttons("accuracy", case.scenario, now)
        trace_view.outcome("accuracy", case.scenario, now)


def _traced(one: TracedCase, now: Any) -> str:
    rows = [trace_table.row("tensors at the peak", now["peak"]["tensors"], one.traced)]
    rows += [
        trace_table.row(LABELS[part], now["at_peak"][part], one.at_peak[part])
        for part in COMPONENTS
        if now["at_peak"][part] or one.at_peak[part]
    ]
    same = "equal" if now["peak"]["phase"] == one.phase else "differs"
    rows.append(("highest in", str(now["peak"]["phase"]), one.phase, same))
    return trace_table.table(rows, "Estimate and recorded trace")


def _measured(one: MeasuredCase) -> str:
    published = one.measurement
    held = "holds it" if one.held else "does not hold it"
    lines = [
        ("measured", f"{units.both(published.measured)}, {published.what}"),
        ("estimate", f"{units.binary(one.estimated)}, error {percent(one.error)}"),
        ("stated range", f"{units.binary(one.low)} to {units.binary(one.high)}: {held}"),
        ("on", f"{published.gpu}; {published.software}"),
        ("source", published.source),
        *([("what differs", published.differs)] if published.differs else []),
    ]
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(said)}</td></tr>' for name, said in lines)
    return f'<div class="mc-compare mc-source"><table><tbody>{body}</tbody></table></div>'


def _leads(case: Case) -> None:
    """The scenario as a file, as text, and on its page."""
    text = json.dumps(case.scenario, indent=2) + "\n"
    st.download_button("Scenario, JSON", text, "memcalc-scenario.json", "application/json", key="case-save",
                       icon=":material/download:", on_click="ignore")  # fmt: skip
    with st.popover("Show the scenario", icon=":material/data_object:", key="case-scenario"):
        st.code(text, language="json", wrap_lines=True)
    scenario = page_scenario(case)
    if scenario is None:
        st.caption("A small model made for the test: it is in no catalogue, so no page has it.")
        return
    training = case.dot.training
    settings = training_settings.ALL if training else inference_settings.ALL
    states, missing = bring.states_of(scenario, settings)
    page = "training" if training else "inference"
    st.page_link(f"pages/views/{page}.py", label=f"Open on the page {page.capitalize()}", icon=":material/open_in_new:",
                 query_params=link(states))  # fmt: skip
    if missing:
        st.caption(f"That page has no such value for {plain(', '.join(missing))}: it shows its usual one.")


def link(states: Json) -> dict[str, str]:
    """Controls' states as the parameters of a link."""
    return {
        name: str(state).lower() if isinstance(state, bool) else str(state)
        for name, state in states.items()
        if state is not None
    }
