"""The frame of a page with many settings: the answer first, the settings beside it, then what to do with both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

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

Groups = Mapping[str, tuple[Setting, ...]]


@dataclass(frozen=True)
class FormPage:
    """A page for one task. ``scenario_of`` turns the controls' states into a scenario; ``more`` says what is
    worth saying about the answer besides (an HTML block above the chart), ``below`` draws what goes under it."""

    title: str
    line: str
    groups: Groups
    scenario_of: Callable[[Mapping[str, Any]], Json]
    terms: tuple[str, ...]
    more: Callable[[Json, Run], str] = lambda _scenario, _run: ""
    below: Callable[[Json, Run], None] = lambda _scenario, _run: None

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
        answer = right.container(key="answer")
        states = form_controls.known_states(self.settings)
        early = self.scenario_of(states) if states else None
        outcome = self.answer(early, summary, answer) if early else None
        form = form_controls.Form()
        with left:
            form.model()
            for title, group in self.groups.items():
                form.group(title, group, self.scenario_of)
        scenario = self.scenario_of(form.states)
        if early is None:
            outcome = self.answer(scenario, summary, answer)
        elif early != scenario:
            st.rerun()
        with notes:
            frame.link_notes(given, lambda: form_controls.allowed(self.settings), scenario)
        asked = json.dumps(scenario)
        form.effects(self.title, scenario, rest.settled(self.title, asked))
        form.shortened(scenario)
        if isinstance(outcome, MemcalcError):
            form.refuse(outcome)
        run = outcome if isinstance(outcome, Run) else None
        with tools:
            self.tools(str(scenario["task"]))
        if run is not None:
            with actions:
                trace_view.buttons(self.title.lower(), scenario, run.estimate)
            with checks:
                trace_view.outcome(self.title.lower(), scenario, run.estimate)
        glossary.row(self.terms)
        if run is not None:
            decide.offer(run, scenario, form_controls.base(form.states))
            result.assumptions([run])
        rest.wait(self.title, asked)

    def answer(self, scenario: Json, summary: DeltaGenerator, place: DeltaGenerator) -> Run | MemcalcError:
        """Verdict, bars and table; or what the core refused."""
        try:
            run = result.ask(self.title, scenario)
        except MemcalcError as error:
            summary.html(markup.verdicts({self.title: None}))
            place.info("Nothing to show yet: see the note beside the settings.", icon=":material/info:")
            return error
        card, capacity = result.card_of([run], get(scenario, "hardware.gpu"))
        summary.html(markup.verdicts({self.title: words.verdict(run, card)}))
        with place:
            self.facts(scenario, run)
            st.html(markup.legend([run], ""))
            st.plotly_chart(
                PlainFigure(export.room_for_camera(figures.phase_bars([run], card, capacity))),
                key="phases",
                config=export.camera(f"memcalc-{self.title.lower()}"),
                alt=words.alternative([run], card, capacity),
            )
            st.html(markup.table([run]))
            self.below(scenario, run)
        return run

    def facts(self, scenario: Json, run: Run) -> None:
        """What is worth saying besides; what was said last, dimmed, until the settings have rested."""
        held: dict[str, str] = st.session_state.setdefault(_FACTS, {})
        fresh = rest.settled(self.title, json.dumps(scenario))
        if fresh:
            held[self.title] = self.more(scenario, run)
        said = held.get(self.title)
        if said:
            st.html(said if fresh else markup.dimmed(said))

    def tools(self, task: str) -> None:
        """What to do with the answer: pin it, take it along, bring one back."""
        name = f"memcalc-{self.title.lower()}"

        def scenarios() -> dict[str, Json]:
            states = form_controls.known_states(self.settings)
            return {self.title: self.scenario_of(states)} if states else {}

        def offers(runs: Sequence[Run]) -> list[export.Offer]:
            card, capacity = result.card_of(list(runs), get(runs[0].estimate["scenario"], "hardware.gpu"))
            make = partial(figures.phase_bars, list(runs), card, capacity)
            return [export.picture(name, make, words.alternative(list(runs), card, capacity))]

        keep.tools(name, scenarios, offers, bring.form(self.settings, task))
