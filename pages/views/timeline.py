"""Timeline: live memory through a training step or a generation, and the tensors of its highest instant."""

import streamlit as st

from memcalc.ui import controls, frame, glossary, keep, redraw, rest, timeline_controls, timeline_markup, timeline_view

NAME = "timeline"

given = st.query_params.to_dict()
tools = frame.heading(
    "Timeline", "What lives in GPU memory, from phase to phase and block to block, and what makes the peak."
)
st.html(timeline_markup.style())
view = timeline_view.switch()
notes, summary = st.container(), st.container(key="verdicts")
chosen = timeline_controls.show()
rest.settled(NAME, repr(chosen.settings))


@redraw.part("chart")
def chart() -> None:
    """The chart, and what it says at the controls."""
    settings = controls.current()
    chosen.remark(settings, timeline_view.chart(settings, view))
    rest.wait(NAME, repr(settings))


@redraw.part("verdict")
def verdict() -> None:
    """The answer in words."""
    settings = controls.current()
    timeline_view.verdict(settings, view, rest.settled(NAME, repr(settings), at_first=False))


above, below = st.container(), st.container()
with below:
    timeline_view.part_switch(view)  # before the chart, which shows the component that it names
with above:
    chart()
    st.caption(
        "In the order of the run; each phase is as wide as it takes to see it, not as long as it takes. "
        "Every step shows the highest instant of its block."
    )
with below:
    timeline_view.details(chosen.settings, view)
with summary:
    verdict()
with notes:
    frame.link_notes(given, lambda: {**controls.allowed(), **timeline_view.allowed(given.get("view"))}, chosen.settings)
with tools:
    keep.row("memcalc-timeline", timeline_view.picture)
glossary.row(glossary.BOTH)
