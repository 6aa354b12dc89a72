"""The exercises' page: a question, the reader's own estimate, and only then how near it is and how it is worked out."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import streamlit as st
from streamlit import config

from memcalc.learn.exercises import LEVELS, Exercise, of
from memcalc.learn.exercises.answers import example
from memcalc.learn.exercises.check import check, read_as, wanted
from memcalc.learn.exercises.exercise import FIRST_SEED, LAST_SEED, Task
from memcalc.learn.exercises.sheet import sheet
from memcalc.learn.lessons import LESSONS
from memcalc.ui import carry, frame, glossary, learn_link, learn_presenter
from memcalc.ui import exercises_markup as html
from memcalc.ui import exercises_state as state
from memcalc.ui.words import plain

LINK: Final = "query-params"


def allowed() -> dict[str, Any]:
    """What a link to the exercises may say."""
    return {
        state.LEVEL: tuple(LEVELS),
        state.NUMBER: tuple(str(at) for at in range(1, state.MOST + 1)),
        state.SEED: state.SEEDS,
    }


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    tools = frame.heading(
        "Exercises",
        "Estimate first, with paper and pencil; then compare with memcalc. Within 10 % is right where nothing else is "
        "said.",
    )
    st.html(html.style())
    notes = st.container()
    _nav()
    level, number, seed = state.level(), state.number(), state.seed()
    exercise = of(level)[number - 1]
    with st.container(key="exercise-place", gap="medium"):
        _exercise(exercise, number)
    _onward(number)
    with tools:
        _sheets()
    with notes:
        frame.link_notes(given, allowed, (level, number, seed))


def _nav() -> None:
    """Level, exercise, and the numbers that are drawn."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom", key="exercises-nav"):
        st.segmented_control("Level", tuple(LEVELS), default=next(iter(LEVELS)), required=True, key=state.LEVEL,
                             bind=LINK, on_change=state.level_chosen)  # fmt: skip
        st.pills("Exercise", state.numbers(), default="1", required=True, key=state.NUMBER, bind=LINK)
        st.number_input(
            "Numbers", FIRST_SEED, LAST_SEED, FIRST_SEED, 1, key=state.SEED, bind=LINK, width=150,
            help="Which models, lengths and cards are drawn. The same number gives everybody the same exercises; so "
            "the models are the catalogue’s, and never one of your own.",
        )  # fmt: skip
    st.caption(LEVELS[state.level()])


def _exercise(exercise: Exercise, number: int) -> None:
    """The question, the field, what became of the answer, the solution."""
    task = exercise.task(state.seed())
    st.html(html.question(number, exercise.title, task))
    _answer(exercise, task)
    last = state.attempt(exercise)
    found = check(task, last.value) if last.value is not None else None
    if found and last.value is not None:
        st.html(html.feedback(found, "" if task.asked.kind == "choice" else read_as(task.asked, last.value)))
    solved = last.solved or (found is not None and found.grade == "right")
    _help(exercise, task, offer=found is not None and not solved)
    glossary.row(exercise.terms)
    if solved:
        st.html(html.solution(task, last.value))
        st.button(task.link.label, key="exercise-open", icon=":material/arrow_forward:", on_click=carry.leave,
                  args=(task.link.page,), kwargs=dict(task.link.settings))  # fmt: skip


def _answer(exercise: Exercise, task: Task) -> None:
    """The field with its unit, and the button that checks; what cannot be read is said right below."""
    key = f"reply-{exercise.slug}-{state.seed()}"
    last = state.attempt(exercise)
    with st.form("exercise-form", border=False, enter_to_submit=True):
        if task.asked.kind == "choice":
            index = None if last.value is None else int(last.value)
            st.radio("Your answer", range(len(task.asked.choices)), index=index, key=key,
                     format_func=lambda at: plain(task.asked.choices[at]))  # fmt: skip
        else:
            st.text_input(
                f"Your estimate, in {task.asked.unit}{wanted(task.asked)}", last.text, 60, key=key, autocomplete="off",
                placeholder=f"such as {example(task.asked)}", width=420,
            )  # fmt: skip
        if last.error:
            st.html(html.error(last.error))
        st.form_submit_button("Check", type="primary", key="exercise-check", on_click=state.answered,
                              args=(exercise, task, key))  # fmt: skip


def _help(exercise: Exercise, task: Task, offer: bool) -> None:
    """A hint, the lesson that helps, other numbers; the solution once an answer was tried."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="exercise-help"):
        with st.popover("Hint", icon=":material/lightbulb:"):
            st.write(plain(task.hint))
        lesson = LESSONS[exercise.lesson - 1].title
        st.button(f"Lesson {exercise.lesson}: {lesson}", key="exercise-lesson", type="tertiary",
                  icon=":material/school:", on_click=carry.leave, args=("learn",),
                  kwargs={"lesson": str(exercise.lesson), "step": "question"})  # fmt: skip
        st.button("Another one like this", key="exercise-again", type="tertiary", icon=":material/casino:",
                  on_click=state.redraw, args=(exercise,))  # fmt: skip
        if offer:
            st.button(
                "Show the solution", key="exercise-solve", type="tertiary", on_click=state.solve, args=(exercise,)
            )


def _onward(number: int) -> None:
    """The exercises before and after, and what became of those of the level."""
    listed = of(state.level())
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="exercise-onward"):
        if number > 1:
            st.button(f"{number - 1}. {listed[number - 2].title}", key="exercise-before", icon=":material/arrow_back:",
                      on_click=state.go, args=(number - 1,))  # fmt: skip
        if number < len(listed):
            st.button(f"{number + 1}. {listed[number].title}", key="exercise-after", icon=":material/arrow_forward:",
                      on_click=state.go, args=(number + 1,))  # fmt: skip
    st.html(html.progress([(one.title, state.right(one)) for one in listed]))


def _sheets() -> None:
    """The level on paper, with solutions or without: its link and QR code are found when somebody looks, the files are
    made when they are asked for."""
    place = st.popover("Print a sheet", icon=":material/print:", key="sheets", on_change="rerun")
    if not place.open:
        return
    level, seed = state.level(), state.seed()
    listens = config.get_option("server.address")
    with place:
        own = learn_presenter.room_address() if learn_link.guessing(st.context.url, listens) else None
    found = learn_link.place(st.context.url, listens, "", own)
    settings = {state.LEVEL: level, state.SEED: str(seed)}
    link = learn_link.address(found.base, "exercises", settings) if found.base else ""
    with place:
        st.caption(f"All of “{level}” with these numbers, for A4, black on white: open the file and print it.")
        for solutions, label, name in ((False, "Exercises", ""), (True, "With solutions", "-solutions")):
            st.download_button(
                label, partial(sheet, level, seed, solutions, link), f"memcalc-{level}-{seed}{name}.html", "text/html",
                key=f"sheet{name}", on_click="ignore", width="stretch",
            )  # fmt: skip
        if link:
            st.caption(plain(f"The sheet carries this link and its QR code: {link}. {found.note}"))
        else:
            st.caption(plain(f"The sheet carries no link. {found.note}"))
