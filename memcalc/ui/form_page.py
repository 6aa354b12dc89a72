"""The frame of a page with many settings: the answer first, the settings beside it, then what to do with both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import streamlit as st

from memcalc.errors import MemcalcError
from memcalc.ui import (
    bring,
    decide,
    export,
    figures,
    form_controls,
    frame,
    glossary,
    keep,
    markup,
    redraw,
    rest,
    result,
    trace_view,
    words,
)  # fmt: skip
from memcalc.ui.form import Json, Setting, get
from memcalc.ui.ledger import Run
from memcalc.ui.plain_figure import PlainFigure

#: Where a session keeps what a page said last about its answer.
_FACTS = "_facts"


@dataclass
class Now:
    """What is on a visitor's page, for buttons that are not drawn again whenever it changes."""

    scenario: Json
    runs: list[Run] = field(default_factory=list)

    def answered(self) -> tuple[Json, Mapping[str, Any]]:
        """The scenario and its estimate."""
        return self.scenario, self.runs[0].estimate


def _card(run: Run, scenario: Json) -> tuple[str, int | None]:
    """The card that a run was asked for, and its capacity."""
    return result.card_of([run], get(scenario, "hardware.gpu"))


Groups = Mapping[str, tuple[Setting, ...]]


@dataclass(frozen=True)
class FormPage:
    """A page for one task. ``scenario_of`` turns the controls' states into a scenario; ``more`` says what is
    worth saying about the answer besides (an HTML block above the chart), ``below`` draws what goes under it.
    ``subject``: what the verdict is about, where it is not called as the page is."""

    title: str
    line: str
    groups: Groups
    scenario_of: Callable[[Mapping[str, Any]], Json]
    terms: tuple[str, ...]
    more: Callable[[Json, Run], str] = lambda _scenario, _run: ""
    below: Callable[[Json, Run], None] = lambda _scenario, _run: None
    subject: str = ""

    @property
    def settings(self) -> tuple[Setting, ...]:
        return tuple(one for group in self.groups.values() for one in group)

    def show(self) -> None:
        """Draw the page."""
        given = st.query_params.to_dict()
        tools = frame.heading(self.title, self.line)
        form_controls.style()
        notes, summary = st.container(), st.container(key="verdicts")
        actions = st.container(horizontal=True, gap="small", key="asks")
        checks = st.container(key="checks", gap="small")
        left, right = st.columns([5, 9], gap="large")
        form = self.form()
        with left:
            redraw.controls(lambda: self.controls(form))
        scenario = self.scenario_of(form.states)
        asked = json.dumps(scenario)
        fresh = rest.settled(self.title, asked)
        now = Now(scenario)

        @redraw.part("chart")
        def chart() -> None:
            """Bars and table, and what they say at the controls."""
            states = self.states()
            now.scenario = self.scenario_of(states)
            outcome = self.answer(now.scenario)
            now.runs[:] = [outcome] if isinstance(outcome, Run) else []
            form.remark(now.scenario, states, None if isinstance(outcome, Run) else outcome)
            rest.wait(self.title, json.dumps(now.scenario))

        @redraw.part("verdict")
        def verdict() -> None:
            """The answer in words."""
            said = words.verdict(now.runs[0], _card(now.runs[0], now.scenario)[0]) if now.runs else None
            settled = rest.settled(self.title, json.dumps(now.scenario), at_first=False)
            st.html(markup.verdicts({self.subject or self.title: said}) + ("" if settled else rest.DIM))

        with right.container(key="answer"):
            facts = st.container(key="facts")
            chart()
        with summary:
            verdict()
        run = next(iter(now.runs), None)
        with notes:
            frame.link_notes(given, self.allowed, scenario)
        form.effects(self.title, scenario, fresh)
        with tools:
            self.tools(str(scenario["task"]))
        if run is not None:
            with actions:
                self.asks(scenario, run, now)
            with facts:
                self.facts(scenario, run, fresh)
            with right.container(key="more"):
                self.below(scenario, run)
            with checks:
                self.checked(scenario, run)
        glossary.row(self.terms)
        if run is not None:
            self.offer(run, scenario, form.states)
            result.assumptions([run])

    # What a page about other models than the catalogue's has of its own.

    def form(self) -> form_controls.Form:
        """The controls."""
        return form_controls.Form(self.settings)

    def states(self) -> dict[str, Any]:
        """The controls' states once they are drawn."""
        return form_controls.current(self.settings)

    def allowed(self) -> dict[str, Any]:
        """What a link to the page may say."""
        return form_controls.allowed(self.settings)

    def take(self, task: str) -> bring.Take:
        """What becomes of a scenario that is brought back."""
        return bring.form(self.settings, task)

    def asks(self, scenario: Json, run: Run, now: Now) -> None:
        """The buttons above the answer."""
        trace_view.buttons(self.title.lower(), scenario, run.estimate, now.answered)

    def checked(self, scenario: Json, run: Run) -> None:
        """What came of them."""
        trace_view.outcome(self.title.lower(), scenario, run.estimate)

    def offer(self, run: Run, scenario: Json, states: Mapping[str, Any]) -> None:
        """The way to what would make it fit."""
        decide.offer(run, scenario, form_controls.base(states))

    def controls(self, form: form_controls.Form) -> None:
        """Model, card, and every group of settings."""
        form.model()
        for title, group in self.groups.items():
            form.group(title, group, self.scenario_of)

    def answer(self, scenario: Json) -> Run | MemcalcError:
        """Bars and table; or what the core refused."""
        try:
            run = result.ask(self.subject or self.title, scenario)
        except MemcalcError as error:
            st.info("Nothing to show yet: see the note beside the settings.", icon=":material/info:")
            return error
        card, capacity = _card(run, scenario)
        above = st.container()  # the chart is sent first: the browser needs longest for it
        st.plotly_chart(
            PlainFigure(export.room_for_camera(figures.phase_bars([run], card, capacity))),
            key="phases",
            config=export.camera(f"memcalc-{self.title.lower()}"),
            alt=words.alternative([run], card, capacity),
        )
        above.html(markup.legend([run], ""))
        st.html(markup.table([run]))
        return run

    def facts(self, scenario: Json, run: Run, fresh: bool) -> None:
        """What is worth saying besides; what was said last, until the settings have rested."""
        held: dict[str, str] = st.session_state.setdefault(_FACTS, {})
        if fresh:
            held[self.title] = self.more(scenario, run)
        if held.get(self.title):
            st.html(held[self.title])

    def tools(self, task: str) -> None:
        """What to do with the answer: pin it, take it along, bring one back."""
        name = f"memcalc-{self.title.lower()}"

        def scenarios() -> dict[str, Json]:
            return {self.title: self.scenario_of(self.states())}

        def offers(runs: Sequence[Run]) -> list[export.Offer]:
            card, capacity = _card(runs[0], runs[0].estimate["scenario"])
            make = partial(figures.phase_bars, list(runs), card, capacity)
            return [export.picture(name, make, words.alternative(list(runs), card, capacity))]

        keep.tools(name, scenarios, offers, self.take(task))
