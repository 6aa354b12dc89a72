"""Batch: memory against the number of sequences at once, trained and used, with the card's line."""

import streamlit as st

from memcalc.ui import batch_view, controls, frame, glossary, keep, timeline_controls, timeline_markup

given = st.query_params.to_dict()
tools = frame.heading("Batch", "Memory against the batch: a fixed part, and so much for each sequence.")
st.html(timeline_markup.style())
notes, settings, answer = st.container(), st.container(), st.container()
with settings:
    chosen = timeline_controls.show()
with answer:
    refusals = batch_view.show(chosen.settings)
chosen.refuse(refusals)
with notes:
    frame.link_notes(given, controls.allowed, chosen.settings)
with tools:
    keep.row("memcalc-batch", batch_view.offers)
glossary.row(glossary.BOTH)
