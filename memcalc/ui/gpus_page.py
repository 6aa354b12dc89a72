"""Live GPUs: the cards of this machine now, what would fit on them, and a run beside its estimate."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import streamlit as st

from memcalc.hardware import system
from memcalc.hardware.machine import Machine
from memcalc.hardware.order import Order, cuda_order
from memcalc.hardware.sampler import View
from memcalc.ui import catalogues, controls, frame, gpus_fit, gpus_markup, gpus_measured, gpus_tables, timeline_controls
from memcalc.ui.gpus_fit import Asked, Judged, Watched
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

NOTHING: Final = "Nothing"
QUESTIONS: Final = (NOTHING, "Training", "Inference")
NO_RUN: Final = "No run"


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    host = socket.gethostname()
    frame.heading("Live GPUs", f"The graphics cards of the machine that runs this dashboard ({plain(host)}), now.")
    st.html(gpus_markup.style())
    view = catalogues.live()
    if not view.devices:
        _nothing_to_read(view)
    notes, choice, live = st.container(), st.container(), st.container()
    with st.expander("The model that is judged", icon=":material/tune:", key="judged-model"):
        chosen = timeline_controls.show()
    with choice:
        question, keys, watched = _choices(view)
    asked = _asked(question, chosen.settings)
    # What the controls of this run were made for; the refreshing part asks for a new run once it is no longer so.
    st.session_state["_gpus_there"] = _signature(view)
    with live:
        st.fragment(_live, run_every=catalogues.sampler().every)(asked, tuple(keys), watched)
    with notes:
        frame.link_notes(given, lambda: {**controls.allowed(), "judge": QUESTIONS, "on": None}, chosen.settings)
    if view.devices:
        gpus_tables.which_is_which(view)
        gpus_tables.processes(view)
        gpus_measured.show(view)


def _nothing_to_read(view: View) -> None:
    """Which GPUs there are that cannot be read, and the way on."""
    if view.at is None and not view.trouble:
        st.info("Looking for this machine’s GPUs …", icon=":material/search:")
        return
    why = view.trouble or view.reading.note or "No NVIDIA GPU was found here."
    there = system.not_read(_makers())
    st.info(
        plain(f"{why} {there}".strip()) + " This page looks again by itself.",
        title="Nothing to read on this machine",
        icon=":material/developer_board_off:",
    )
    st.page_link("pages/views/fit.py", label="Choose a card from the catalogue", icon=":material/arrow_forward:")


@lru_cache(maxsize=1)
def _makers() -> tuple[str, ...]:
    return system.makers()


def _choices(view: View) -> tuple[str, list[str], Watched | None]:
    """What is judged (Nothing, Training, Inference), on which devices, and the run to watch."""
    labels = {f"GPU {one.gpu.device}": one.gpu.key for one in view.devices}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom", key="gpus-choice"):
        question = st.segmented_control(
            "Would it fit?", QUESTIONS, default="Training", required=True, key="judge", bind=controls.LINK,
            help="Judged against what is free on each card now. The model and its settings are below the cards.",
        )  # fmt: skip
        if len(labels) > 1 and question != NOTHING:
            picked = st.multiselect(
                "On", list(labels), key="on", bind=controls.LINK, placeholder="every card", width=320
            )
        else:
            picked = []
        runs = _runs(view)
        run = st.selectbox(
            "Watch a run", [NO_RUN, *runs], key="watch", width=300,
            help="A process beside the estimate: what it holds appears as a line in the card's bar.",
        ) if runs and question != NOTHING else NO_RUN  # fmt: skip
    keys = [labels[one] for one in picked if one in labels] or list(labels.values())
    return str(question), keys, runs.get(run or NO_RUN)


def _runs(view: View) -> dict[str, Watched]:
    """Processes on devices, by what to call them; the one that is watched stays, even if it has ended."""
    found = {
        f"GPU {seen.gpu.device}: {one.name or 'a process'} ({one.pid})": Watched(
            seen.gpu.key, one.pid, one.name or "The process"
        )
        for seen in view.devices
        for one in seen.gpu.processes or ()
        if not seen.why
    }
    known: dict[str, Watched] = st.session_state.get("_runs", {})
    held = st.session_state.get("watch", NO_RUN)
    if held in known:
        found.setdefault(held, known[held])
    st.session_state["_runs"] = found
    return found


def _asked(question: str, settings: Settings) -> Asked | None:
    if question == NOTHING:
        return None
    scenario = settings.training() if question == "Training" else settings.inference()
    model = f"{settings.model:,} parameters" if isinstance(settings.model, int) else settings.model
    bare = {key: value for key, value in scenario.items() if key != "hardware"}
    return Asked(question, json.dumps(bare, sort_keys=True), model)


def _live(asked: Asked | None, keys: tuple[str, ...], watched: Watched | None) -> None:
    """The part that refreshes."""
    view = catalogues.live()
    if st.session_state.get("_gpus_there") != _signature(view):
        # A device or a process has come or gone: what can be chosen has changed.
        st.rerun()
    sampler = catalogues.sampler()
    stale = 2 * sampler.every + 3
    now = sampler.clock()
    old = None if view.at is None or now - view.at <= stale else now - view.at
    # While all is fresh, a moment's page is the same for everybody; once it is not, it changes every few seconds.
    moment = view.at if old is None and view.at is not None else 5 * int(now / 5)
    kept = catalogues.measured()
    above, below = _drawn(view, moment, stale, kept.calibrations, asked, keys, watched, sampler.every)
    st.html(above + below)


def _signature(view: View) -> tuple[Any, ...]:
    return tuple((one.gpu.key, tuple(sorted(p.pid for p in one.gpu.processes or ()))) for one in view.devices)


@lru_cache(maxsize=64)
def _drawn(
    view: View,
    now: float,
    stale: float,
    calibrations: tuple[Any, ...],
    asked: Asked | None,
    keys: tuple[str, ...],
    watched: Watched | None,
    every: float,
) -> tuple[str, str]:
    """The status line and the cards: the same for all visitors who ask the same at one moment."""
    old = None if view.at is None or now - view.at <= stale else now - view.at
    # Old figures are shown, and nothing is judged by them.
    fits = _fits(view, calibrations, asked, keys, watched) if old is None else {}
    shown = [one for one in fits.values() if isinstance(one, Judged)]
    above = gpus_markup.status(view, socket.gethostname(), every, old)
    if asked and fits:
        device = {one.gpu.key: one.gpu.device for one in view.devices}
        listed = [(device[key], one) for key, one in fits.items()]
        above += gpus_markup.verdict(*gpus_fit.summary(f"{asked.model} {asked.title.lower()}", listed))
        above += gpus_markup.legend(shown) if shown else ""
    order = cuda_order([one.gpu for one in view.devices], os.environ)
    called = f"{watched.name} ({watched.pid})" if watched else ""
    return above, gpus_markup.cards(view, now, stale, _named(order), fits, called)


def _named(order: Order) -> dict[str, str]:
    return {
        device: f"cuda:{number}" if number is not None else "hidden from CUDA" for device, number in order.cuda.items()
    }


def _fits(
    view: View, calibrations: Sequence[Any], asked: Asked | None, keys: Sequence[str], watched: Watched | None
) -> dict[str, Judged | str]:
    if asked is None:
        return {}
    found: dict[str, Judged | str] = {}
    for seen in view.devices:
        if seen.gpu.key in keys:
            pid = watched.pid if watched and watched.key == seen.gpu.key else None
            machine = Machine(view.reading, tuple(calibrations), pid)
            found[seen.gpu.key] = seen.why or gpus_fit.judged(asked, machine, seen.gpu, view)
    return found
