"""What was measured on this machine's cards: shown, made and removed."""

from __future__ import annotations

import threading

import streamlit as st

from memcalc.errors import HardwareError
from memcalc.hardware import calibration
from memcalc.hardware.calibrate import calibrate, possible
from memcalc.hardware.calibration import Calibration
from memcalc.hardware.sampler import View
from memcalc.ui import catalogues
from memcalc.ui.gpus_tables import table
from memcalc.ui.words import plain
from memcalc.units import binary


@st.cache_resource(show_spinner=False)
def _one_at_a_time() -> threading.Lock:
    return threading.Lock()


def show(view: View) -> None:
    """The calibrations, a button to measure a card, and one to forget what was measured."""
    place = st.expander("Figures measured on these cards", icon=":material/straighten:", key="measured",
                        on_change="rerun")  # fmt: skip
    if place.open:
        with place:
            content(view)


def content(view: View) -> None:
    """What is in the fold."""
    kept = catalogues.measured()
    st.caption(
        "memcalc assumes a CUDA context, library workspaces and allocator segments by a card’s generation. On a "
        "machine with torch they can be measured: in a process of its own, in some seconds, with up to 1 GiB of "
        "the card. From then on estimates for that card use them, as long as the driver stays the same. Cards of "
        "the catalogue are not touched."
    )
    if kept.note:
        st.warning(plain(kept.note), icon=":material/info:")
    if kept.calibrations:
        st.html(_listed(kept.calibrations, view))
    _actions(view, kept.calibrations)


def _listed(found: tuple[Calibration, ...], view: View) -> str:
    there = {one.gpu.uuid: f"GPU {one.gpu.device}" for one in view.devices}
    rows = []
    for one in found:
        used = (
            "yes" if one.uuid in there and one.driver == view.reading.driver else "no: another driver or no such card"
        )
        how = "" if one.by_process else " (by the whole card's use)"
        rows.append(
            [
                f"{there.get(one.uuid, 'not here')}, {one.name}",
                f"{binary(one.context)}{how}, {binary(one.context_bare)} bare",
                f"{binary(one.workspace_first)} + {binary(one.workspace_second)}",
                f"{binary(one.small_segment)}, {binary(one.large_segment)}",
                f"driver {one.driver}, torch {one.torch}",
                one.when,
                used,
            ]
        )
    return table(["card", "CUDA context", "workspaces", "segments", "under", "on", "in use"], rows)


def _actions(view: View, found: tuple[Calibration, ...]) -> None:
    labels = {f"GPU {one.gpu.device}: {one.gpu.name}": one.gpu for one in view.devices if one.gpu.uuid and not one.why}
    known = {f"{one.name} ({one.uuid})": one.uuid for one in found}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if labels and possible():
            chosen = st.selectbox("Card to measure", list(labels), key="measure-on", width=320)
            if st.button("Measure this card", icon=":material/straighten:", key="measure"):
                _measure(labels[chosen].select, view)
        elif labels:
            st.caption("To measure, torch has to be installed beside memcalc: pip install torch.")
        if known:
            gone = st.selectbox("Measured", list(known), key="forget-which", width=320)
            if st.button("Forget it", icon=":material/delete:", key="forget"):
                try:
                    calibration.remove(known[gone])
                except HardwareError as error:
                    st.error(plain(error.message))
                    return
                catalogues.measured.clear()
                st.rerun()


def _measure(name: str, view: View) -> None:
    lock = _one_at_a_time()
    if not lock.acquire(blocking=False):
        st.info("Somebody is measuring a card right now; try again in a moment.")
        return
    try:
        with st.spinner("Measuring, in a process of its own …"):
            calibration.save(calibrate(name, view.reading))
    except HardwareError as error:
        st.error(plain(error.message), icon=":material/error:")
        return
    finally:
        lock.release()
    catalogues.measured.clear()
    st.rerun()
