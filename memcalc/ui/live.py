"""This machine's own GPUs beside the first page's controls, away from the path of the sliders."""

from __future__ import annotations

import streamlit as st

from memcalc import units
from memcalc.ui import catalogues
from memcalc.ui.words import plain

PAGE = "pages/views/gpus.py"


def show() -> None:
    """The GPUs of the machine that runs the dashboard, or one calm sentence when there are none."""
    view = catalogues.live()
    if not view.devices:
        why = plain(view.reading.note or view.trouble or "No NVIDIA GPU was found here.")
        st.caption(f"**GPUs in this machine**: {why} Cards from the catalogue work all the same.")
        return
    st.markdown("**GPUs in this machine**")
    st.fragment(_cards, run_every=catalogues.sampler().every)()
    st.page_link(PAGE, label="All about them, live", icon=":material/monitoring:")


def _cards() -> None:
    with st.grid(3, min_column_width=240):
        for seen in catalogues.live().devices:
            gpu = seen.gpu
            with st.container(border=True, gap="xsmall"):
                st.markdown(f"GPU {gpu.device}: {plain(gpu.name)}")
                if gpu.total is None or gpu.used is None or gpu.free is None or seen.why:
                    st.caption(plain(f"– ({seen.why or gpu.reasons.get('total', 'not told')})"))
                    continue
                st.progress(min(1.0, gpu.used / gpu.total))
                whole = f"{units.both(gpu.total)}"
                st.caption(f"{units.binary(gpu.free)} free, {units.binary(gpu.used)} used of {whole}")
