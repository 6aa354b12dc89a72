"""Timeline: live memory through a training step or a generation, and the tensors of its highest instant."""

import streamlit as st

from memcalc.ui import controls, frame, glossary, keep, timeline_controls, timeline_markup, timeline_view

given = st.query_params.to_dict()
tools = frame.heading(
    "Timeline", "What lives in GPU memory, from phase to phase and block to block, and what makes the peak."
)
st.html(timeline_markup.style())
view = timeline_view.switch()
notes, summary = st.container(), st.container(key="verdicts")
settings, answer = st.container(), st.container()

# As on the first page: the answer first, if the controls' values are known already.
early = controls.peek()
refusals = []
if early:
    with answer:
        refusals = timeline_view.show(early, view, summary)
with settings:
    chosen = timeline_controls.show()
if not early:
    with answer:
        refusals = timeline_view.show(chosen.settings, view, summary)
elif early != chosen.settings:
    st.rerun()
chosen.refuse(refusals)
with notes:
    frame.link_notes(given, lambda: {**controls.allowed(), **timeline_view.allowed(given.get("view"))}, chosen.settings)
with tools:
    keep.row("memcalc-timeline", timeline_view.picture)
glossary.row(glossary.BOTH)
