"""Batch: memory against the number of sequences at once, trained and used, with the card's line."""

import streamlit as st

from memcalc.ui import batch_view, controls, frame, glossary, keep, redraw, timeline_controls, timeline_markup

given = st.query_params.to_dict()
tools = frame.heading("Batch", "Memory against the batch: a fixed part, and so much for each sequence.")
st.html(timeline_markup.style())
notes = st.container()
chosen = timeline_controls.show()


@redraw.part("chart")
def chart() -> None:
    """The lines, and what they say at the controls."""
    settings = controls.current()
    chosen.remark(settings, batch_view.show(settings))
    frame.drop_notes()


chart()
with notes:
    frame.link_notes(given, controls.allowed, chosen.settings)
with tools:
    keep.row("memcalc-batch", batch_view.offers)
glossary.row(glossary.BOTH)
