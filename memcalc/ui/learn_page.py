"""The workshop's page: a lesson's question, then its figure, its formula, the rules examined, what to remember."""

from __future__ import annotations

from typing import Any, Final, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from memcalc.errors import MemcalcError
from memcalc.learn.case import Case, Model, Own
from memcalc.learn.exercises import practising
from memcalc.learn.lesson import Lesson, Question, Variable
from memcalc.learn.lessons import LESSONS
from memcalc.ui import (
    bring_model,
    brought,
    carry,
    catalogues,
    controls,
    form_controls,
    frame,
    glossary,
    learn_presenter,
    learn_state,
    links,
    options,
    own_models,
)
from memcalc.ui import learn_figures as figures
from memcalc.ui import learn_markup as html
from memcalc.ui.figures import CONFIG
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

LINK: Final = "query-params"


def allowed() -> dict[str, Any]:
    """What a link to the workshop may say."""
    return {
        "source": controls.SOURCES,
        "model": controls.model_choices(),
        own_models.KEY: None,
        "size": [options.ladder(size) for size in options.SIZES],
        "exact": None,
        learn_state.LESSON: learn_state.NUMBERS,
        learn_state.STEP: learn_state.STEPS,
        learn_state.PRESENT: ("true", "false"),
        learn_state.MOVE: [one.label for lesson in LESSONS for one in lesson.variables],
        **{one.key: [one.name(value) for value in one.values] for lesson in LESSONS for one in lesson.variables},
    }


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    presenting = _presenting(given)
    if presenting:
        learn_presenter.style()
    else:
        frame.heading("Workshop", f"{len(LESSONS)} short lessons on where GPU memory goes. Answer first, then look.")
    st.html(html.style())
    notes, nav = st.container(), st.container(key="learn-nav")
    actions = None if presenting else st.container(horizontal=True, gap="small", key="learn-actions")
    lesson = st.container(key="learn-lesson", gap="medium")
    bar = actions or learn_presenter.bar()
    with nav:
        st.pills("Lesson", learn_state.NUMBERS, default="1", required=True, key=learn_state.LESSON, bind=LINK,
                 on_change=learn_state.chosen)  # fmt: skip
        learn_state.draw()
    number = learn_state.number()
    with bar:
        model, generates = _model()
        learn_presenter.buttons(number, presenting)
    with lesson:
        _lesson(number, LESSONS[number - 1], model, generates, presenting)
    with notes:
        frame.link_notes(given, allowed, (number, learn_state.step(), model))
    if not presenting:
        _onward(number)


def _presenting(given: dict[str, str]) -> bool:
    """Whether to present; before its control is drawn, the link says so."""
    if learn_state.PRESENT in st.session_state:
        return learn_state.presenting()
    return given.get(learn_state.PRESENT) == "true"


def _model() -> tuple[Model, bool]:
    """The reader's model, behind a button that names it; and whether it writes text."""
    bring_model.settle()  # before the button is named
    said = {name: st.session_state.get(name, st.query_params.get(name)) for name in ("source", "model", own_models.KEY)}
    own, _ = own_models.read(str(said[own_models.KEY] or ""))
    listed = [*(one.label for one in (brought.held() or own)), *catalogues.models()]
    known = said["model"] if said["model"] in listed else Settings.model
    named = known if said["source"] != controls.SOURCES[1] else "any size"
    with st.popover(plain(f"Model: {named}"), icon=":material/tune:", key="model-place"):
        states = controls._model()
        complaint = links.size_complaint(states.get("exact") or "")
        if complaint:
            st.warning(plain(complaint), icon=":material/info:")
    chosen = form_controls.base(states)
    model = chosen.model if chosen.own is None else Own(chosen.own.label, chosen.own.model)
    return model, chosen.generates


def _lesson(number: int, lesson: Lesson, model: Model, generates: bool, presenting: bool) -> None:
    """The lesson as far as the reader has come."""
    if not generates:
        name = lesson.usual(model).name
        said = f"The lessons are about models that write text; {name} only reads. Choose another model above."
        st.info(plain(said), icon=":material/info:")
        return
    step = learn_state.step()
    idea = "" if presenting and step == "figure" else lesson.idea  # the figure needs the room
    st.html(html.head(number, lesson.title, idea, 1 if presenting else 2))
    try:
        question = lesson.question(lesson.usual(model))
        if step != "remember" or not presenting:
            _question(number, model, question, step, presenting)
        if not presenting:
            glossary.row(lesson.terms)
        if step == "question":
            return
        _figure(number, model, presenting, step)
        if step == "remember" or not presenting:
            st.html(html.remember(lesson.remember(lesson.usual(model))))
    except MemcalcError as error:
        st.warning(plain(error.message), icon=":material/info:", title="This lesson has no answer for this model")


def _question(number: int, model: Model, question: Question, step: str, presenting: bool) -> None:
    """The question, and what becomes of the answer. A room answers by raising hands; a reader by a click."""
    if presenting:
        if step == "question":
            st.html(html.choices(question))
        else:
            st.html(html.verdict(question, None))
        return
    name = learn_state.name_of(number, LESSONS[number - 1].usual(model).name)
    answered = learn_state.answers().get(name)
    key = f"answer-{name}"
    st.radio(
        question.text, range(len(question.choices)), index=answered, key=key, on_change=_answered,
        args=(name, key), format_func=lambda at: plain(question.choices[at]),
    )  # fmt: skip
    if step == "question":
        st.button("Show me without an answer", key="reveal", icon=":material/visibility:", on_click=learn_state.reveal)
    else:
        st.html(html.verdict(question, answered))


def _answered(name: str, key: str) -> None:
    """Keep the answer in this session, and show the figure."""
    learn_state.answers()[name] = int(st.session_state[key])
    learn_state.reveal()


@st.fragment
def _figure(number: int, model: Model, presenting: bool, step: str) -> None:
    """The variable, the figure, the formula, the rules: all that a slider changes, and nothing else."""
    lesson = LESSONS[number - 1]
    if presenting and step == "remember":
        with st.container(key="kept"):  # the controls keep their values while they are not to be seen
            _variables(lesson, st.container(), st.container())
        return
    left, right = st.columns([5, 8], gap="large")
    with left:
        control, first, second = st.container(), st.container(), st.container()
        # A room reads the sentence; a reader goes on to what else can be moved.
        said, rest = (first, second) if presenting else (second, first)
        case = lesson.case(model, _variables(lesson, control, rest))
    try:
        shown = lesson.show(case)
    except MemcalcError as error:
        said.warning(plain(error.message), icon=":material/info:", title="These settings do not go together")
        return
    notes = html.notes((*shown.notes, f"Unchanged: {lesson.fixed(case)}"))
    said.html(html.headline(shown.headline) + ("" if presenting else notes))
    with right, st.container(key="figure"):
        legend = html.legend(shown.figure)
        if legend:
            st.html(legend)
        st.plotly_chart(
            PlainFigure(figures.presented(shown.figure) if presenting else figures.figure(shown.figure)),
            key=f"lesson-figure-{number}",
            config=CONFIG,
            alt=shown.alternative,
        )
    left, right = st.columns([5, 8], gap="large")
    left.html(html.formula(shown.formula))
    if shown.rules:
        right.html(html.rules(shown.rules))
    if presenting:
        st.html(notes)
    else:
        _beyond(lesson, case)


def _variables(lesson: Lesson, place: DeltaGenerator, below: DeltaGenerator) -> dict[str, Any]:
    """The variable's control; where a lesson has several, one at a time is moved, and the rest is behind a button."""
    with place:
        if len(lesson.variables) == 1:
            return {one.key: _control(one) for one in lesson.variables}
        names = [one.label for one in lesson.variables]
        moved = st.selectbox("Move one thing", names, key=learn_state.MOVE, bind=LINK)
    rest = below.expander("The rest of your case", icon=":material/tune:", key="rest")
    states = {}
    for one in lesson.variables:
        with place if one.label == moved else rest:
            states[one.key] = _control(one)
    return states


def _control(one: Variable) -> Any:
    """A ladder as a slider, few choices as buttons."""
    more: dict[str, Any] = {"key": one.key, "bind": LINK, "help": one.help or None}
    names = [one.name(value) for value in one.values]
    if one.kind == "ladder":
        return st.select_slider(one.label, names, value=one.name(one.usual), **more)
    return st.segmented_control(one.label, names, default=one.name(one.usual), required=True, wrap=True, **more)


def _beyond(lesson: Lesson, case: Case) -> None:
    """Where the rules are true, worked out when somebody looks; and the dashboard's pages at this state."""
    if lesson.maps:
        place = st.expander(lesson.map_title, icon=":material/map:", key="maps", on_change="rerun")
        if place.open:
            with place:
                for table in lesson.maps(case):
                    st.html(html.table(table))
    with st.container(horizontal=True, gap="small", key="learn-links"):
        st.caption("Go on with these settings:", width="content")
        for at, one in enumerate(lesson.links(case)):
            if st.button(one.label, key=f"link-{at}", type="tertiary", icon=":material/arrow_forward:"):
                carry.leave(one.page, **one.settings)
                st.rerun()  # the whole page: the fragment alone cannot leave it


def _onward(number: int) -> None:
    """The lessons before and after, and how many were answered."""
    done = len({name.split(" ")[0] for name in learn_state.answers()})
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="learn-practice"):
        st.caption("Practise what this lesson is about:", width="content")
        for level, at, exercise in practising(number):
            st.button(exercise.title, key=f"practice-{exercise.slug}", icon=":material/edit:", type="tertiary",
                      on_click=carry.leave, args=("exercises",),
                      kwargs={"level": level, "exercise": str(at)})  # fmt: skip
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="learn-onward"):
        if number > 1:
            st.button(f"{number - 1}. {LESSONS[number - 2].title}", key="before", icon=":material/arrow_back:",
                      on_click=learn_state.open_lesson, args=(number - 1,))  # fmt: skip
        if number < len(LESSONS):
            # As long as the question is open, the figure is what comes next.
            kind: Literal["primary", "secondary"] = "secondary" if learn_state.step() == "question" else "primary"
            st.button(f"{number + 1}. {LESSONS[number].title}", key="after", icon=":material/arrow_forward:",
                      type=kind, on_click=learn_state.open_lesson, args=(number + 1,))  # fmt: skip
        st.caption(f"{done} of {len(LESSONS)} questions answered. Answers stay in this browser tab.", width="content")
