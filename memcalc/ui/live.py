"""This machine's own GPUs, read every few seconds, away from the path of the sliders."""

from __future__ import annotations

import streamlit as st

from memcalc import units
from memcalc.ui import catalogues
from memcalc.ui.words import plain

EVERY = 3  # seconds


def show() -> None:
    """The GPUs of the machine that runs the dashboard, or one calm sentence when there are none."""
    sample = catalogues.live()
    if not sample["gpus"]:
        why = plain(sample["note"] or "No NVIDIA GPU was found here.")
        st.caption(f"**GPUs in this machine**: {why} Cards from the catalogue work all the same.")
        return
    st.markdown("**GPUs in this machine**")
    _cards()


@st.fragment(run_every=EVERY)
def _cards() -> None:
    sample = catalogues.live()
    with st.grid(3, min_column_width=240):
        for gpu in sample["gpus"]:
            total, used, free = (int(gpu.get(name) or 0) for name in ("total", "used", "free"))
            with st.container(border=True, gap="xsmall"):
                st.markdown(f"GPU {int(gpu['index'])}: {plain(gpu['name'])}")
                st.progress(min(1.0, used / total) if total else 0.0)
                whole = f"{units.binary(total)} ({units.decimal(total)})"
                st.caption(f"{units.binary(free)} free, {units.binary(used)} used of {whole}")
