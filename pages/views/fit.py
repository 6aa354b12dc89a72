"""Will it fit? One model, trained and used, against one card."""

import streamlit as st

from memcalc.ui import controls, fit_advice, frame, glossary, keep, live, result

given = st.query_params.to_dict()
tools = frame.heading("Will it fit?", "GPU memory for training a model and for using it, from its architecture.")
notes, summary = st.container(), st.container(key="verdicts")
advice = st.container(key="advice")
left, right = st.columns([5, 9], gap="large")

# The answer goes to the browser before the controls, so that the bars move as soon as a slider does. In the
# first run the controls' values are only known once they are drawn.
early = controls.peek()
refusals = []
if early:
    with right:
        refusals = result.show(early, summary)
with left:
    chosen = controls.show()
    live.show()
if not early:
    with right:
        refusals = result.show(chosen.settings, summary)
elif early != chosen.settings:
    st.rerun()
chosen.refuse(refusals)
with notes:
    frame.link_notes(given, controls.allowed, chosen.settings)
with advice:
    fit_advice.show(chosen.settings)
with tools:
    keep.row("memcalc-fit", result.picture)
glossary.row(glossary.BOTH)
