"""Where the reader is in the workshop: lesson, step, presenter mode in the address; answers in the session only."""

from __future__ import annotations

from typing import Final

import streamlit as st

from memcalc.learn.lessons import LESSONS
from memcalc.ui import carry

STEPS: Final = ("question", "figure", "remember")
"""A lesson in presenter mode, one after the other. A reader alone sees the last two at once."""
NUMBERS: Final = tuple(str(number) for number in range(1, len(LESSONS) + 1))
LESSON, STEP, PRESENT, MOVE = "lesson", "step", "present", "move"
_ANSWERS: Final = "_answers"


def draw() -> None:
    """The controls that only the address needs; hidden by the style sheet."""
    st.selectbox("Step", STEPS, key=STEP, bind="query-params", label_visibility="collapsed")
    st.checkbox("Presenter mode", key=PRESENT, bind="query-params", label_visibility="collapsed")


def number() -> int:
    """The lesson's number, from 1."""
    said = st.session_state.get(LESSON)
    return int(said) if said in NUMBERS else 1


def step() -> str:
    said = st.session_state.get(STEP)
    return str(said) if said in STEPS else STEPS[0]


def presenting() -> bool:
    return bool(st.session_state.get(PRESENT))


def answers() -> dict[str, int]:
    """What this visitor answered, by lesson and model: it never leaves the session."""
    held: dict[str, int] = st.session_state.setdefault(_ANSWERS, {})
    return held


def name_of(lesson: int, model: str) -> str:
    """What an answer is kept under: another model may have another right answer."""
    return f"{lesson} {model}"


def reveal() -> None:
    """Show the figure."""
    carry.step()
    st.session_state[STEP] = "figure"


def open_lesson(lesson: int, at: str = "") -> None:
    """Go to a lesson: to its question, or to its figure where the question was answered before."""
    carry.step()
    answered = any(one.startswith(f"{lesson} ") for one in answers())
    st.session_state[LESSON] = str(lesson)
    st.session_state[STEP] = at or ("figure" if answered and not presenting() else "question")


def chosen() -> None:
    """A lesson was chosen by its number."""
    open_lesson(number())


def onward() -> None:
    """The next step of the presentation, or the next lesson."""
    at = STEPS.index(step())
    if at + 1 < len(STEPS):
        carry.step()
        st.session_state[STEP] = STEPS[at + 1]
    elif number() < len(LESSONS):
        open_lesson(number() + 1)


def back() -> None:
    """The step before, or the end of the lesson before."""
    at = STEPS.index(step())
    if at:
        carry.step()
        st.session_state[STEP] = STEPS[at - 1]
    elif number() > 1:
        open_lesson(number() - 1, STEPS[-1])


def present(on: bool) -> None:
    """Begin or end presenting, at the same place."""
    carry.step()
    st.session_state[PRESENT] = on
