"""Check by tracing, and the exact replay of the allocator: on demand, below an answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

import memcalc
from memcalc import trace
from memcalc.errors import MemcalcError
from memcalc.ui import catalogues, own_models, trace_table
from memcalc.ui.form import Json
from memcalc.ui.trace_job import LIMIT, Job, progress_of
from memcalc.ui.words import plain

AT_ONCE = 2
"""Traces that one server runs at a time, for all visitors: each may take a gigabyte and a core."""
EVERY = 0.7
"""Seconds between two looks at a running trace."""
_HELD, _FULL = "_trace", "_trace_full"

#: What can be installed does not change while the server runs.
available = lru_cache(maxsize=1)(trace.installed)


@st.cache_resource(show_spinner=False)
def _places() -> threading.BoundedSemaphore:
    """The server's places for traces: the one thing that visitors share."""
    return threading.BoundedSemaphore(AT_ONCE)


def traceable(scenario: Mapping[str, Any]) -> bool:
    """Whether a stranger's scenario names code that may be run: of the catalogue, or of a family by configuration."""
    model = scenario["model"]
    if isinstance(model, str):
        return model in catalogues.models()
    return own_models.is_own(model)


def buttons(
    place: str,
    scenario: Json,
    estimate: Mapping[str, Any],
    now: Callable[[], tuple[Json, Mapping[str, Any]]] | None = None,
) -> None:
    """What can be asked beyond the quick answer to ``scenario``. ``place`` names the page; ``now`` says scenario and
    estimate when a button is pressed, where they can change before it is drawn again."""
    held = now or (lambda: (scenario, estimate))
    if available() and traceable(scenario):
        job = _job(place)
        st.button(
            "Check by tracing",
            key="trace-start",
            icon=":material/troubleshoot:",
            disabled=job is not None and job.running,
            on_click=lambda: _start(place, *held()),
            help="Runs the model's real code on a fake GPU (no weights, no network, seconds) and lays both answers "
            f"side by side. It ends after {LIMIT:.0f} seconds, or when you leave.",
        )
    st.button(
        "Exact reserved",
        key="exact",
        icon=":material/grid_view:",
        on_click=lambda: _exact(held()[0]),
        help="Replays every tensor of this run through a simulated caching allocator.",
    )


def outcome(place: str, scenario: Json, estimate: Mapping[str, Any]) -> None:
    """What came of the buttons."""
    if st.session_state.get("_exact") == scenario:
        _replayed(scenario, estimate)
    if not available():
        st.caption(f"To check this against the model's own code on a fake GPU, install torch: `{trace.INSTALL}`")
    elif not traceable(scenario):
        st.caption("A model known only by its size has no code to trace.")
    if st.session_state.pop(_FULL, False):
        st.warning(f"{AT_ONCE} traces are running for others. Try again in a moment.", icon=":material/hourglass_top:")
    job = _job(place)
    if job is not None and job.running:
        _running()
    elif job is not None:
        _ended(job, scenario)


def _job(place: str) -> Job | None:
    held = st.session_state.get(_HELD)
    return held[1] if held and held[0] == place else None


def _start(place: str, scenario: Json, estimate: Mapping[str, Any]) -> None:
    """One trace a visitor: an earlier one is stopped."""
    stop()
    places = _places()
    if not places.acquire(blocking=False):
        st.session_state[_FULL] = True
        return
    st.session_state[_HELD] = (place, Job(scenario, estimate, _visitor(), places.release))


def stop() -> None:
    """End this visitor's trace, if there is one."""
    held = st.session_state.get(_HELD)
    if held and held[1].running:
        held[1].stop()


def _visitor() -> Callable[[], bool]:
    """Whether this visitor is still connected, to be asked from another thread."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return lambda: True
    session, server = context.session_id, runtime.get_instance()
    return lambda: server.is_active_session(session)


def _ended(job: Job, scenario: Json) -> None:
    if job.scenario != scenario:
        st.caption("Traced with the settings as they were when it began; press again for those of now.")
    if job.answer is None:
        st.warning(plain(job.error), icon=":material/info:")
    else:
        st.html(trace_table.side_by_side(job.beside, job.answer))
        seen = st.expander("What the trace saw at the peak", icon=":material/view_list:", key="seen", on_change="rerun")
        if seen.open:
            seen.html(trace_table.largest(job.answer))
    st.button("Put the trace away", key="trace-close", icon=":material/close:", on_click=_close)


def _close() -> None:
    st.session_state.pop(_HELD, None)


@st.fragment(run_every=EVERY)
def _running() -> None:
    """The progress of this visitor's trace, and the button that stops it; draws the page anew when it has ended."""
    job = st.session_state[_HELD][1]
    if not job.running:
        st.rerun()
    share, said = progress_of(job.phase)
    st.progress(share, text=f"Tracing, {job.seconds:.0f} s: {said}")
    st.button("Stop", key="trace-stop", icon=":material/stop_circle:", on_click=stop)


def _exact(scenario: Json) -> None:
    st.session_state["_exact"] = scenario


def _replayed(scenario: Json, estimate: Mapping[str, Any]) -> None:
    try:
        st.html(_replay_words(json.dumps(scenario), json.dumps(estimate["range"]["reserved"])))
    except MemcalcError as error:
        st.warning(plain(error.message), icon=":material/info:")


@lru_cache(maxsize=64)
def _replay_words(asked: str, stated: str) -> str:
    scenario = json.loads(asked)
    replayed = memcalc.replayed(scenario, allow_files=False)
    return trace_table.replay_words(replayed.peak, replayed.range["reserved"], json.loads(stated))
