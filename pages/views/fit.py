"""Will it fit? One model, trained and used, against one card."""

import streamlit as st

from memcalc.ui import controls, fit_advice, frame, glossary, keep, live, redraw, rest, result

NAME = "fit"

given = st.query_params.to_dict()
tools = frame.heading("Will it fit?", "GPU memory for training a model and for using it, from its architecture.")
notes, summary = st.container(), st.container(key="verdicts")
advice = st.container(key="advice")
left, right = st.columns([5, 9], gap="large")
with left:
    chosen = controls.show()
    live.show()


@redraw.part("chart")
def chart() -> None:
    """Bars and figures, and what they say at the controls."""
    settings = controls.current()
    chosen.remark(settings, result.show(settings))
    rest.wait(NAME, repr(settings))


@redraw.part("verdict")
def verdict() -> None:
    """The answer in words."""
    settings = controls.current()
    result.verdicts(settings, rest.settled(NAME, repr(settings), at_first=False))


with right:
    chart()
    result.assumptions([one for one in result.answers(chosen.settings)[0].values() if one])
with summary:
    verdict()
with advice:
    fit_advice.show(chosen.settings, rest.settled(NAME, repr(chosen.settings), at_first=False))
with notes:
    frame.link_notes(given, controls.allowed, chosen.settings)
with tools:
    keep.row("memcalc-fit", result.picture)
glossary.row(glossary.BOTH)
