"""The page "Make it fit": the verdict, the cheapest change, all changes, and how far the card reaches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from memcalc.errors import MemcalcError
from memcalc.ui import advice_markup as say
from memcalc.ui import advice_view, bring, decide, export, frame, keep, markup, reach_view, result, words
from memcalc.ui.decide import Asked
from memcalc.ui.ledger import Run


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    tools = frame.heading(
        "Make it fit", "What would make it fit, what each change saves and costs, and how far the card goes."
    )
    notes, summary = st.container(), st.container(key="verdicts")
    settings, answer = st.container(), st.container()
    with settings:
        asked = decide.ask()
    try:
        run = result.ask(asked.title, asked.scenario)
    except MemcalcError as error:
        summary.html(markup.verdicts({asked.title: None}))
        asked.chosen.remark(asked.chosen.settings, [error])
    else:
        asked.chosen.remark(asked.chosen.settings, [])
        with answer:
            _answer(asked, run, summary)
    with notes:
        frame.link_notes(given, decide.allowed, asked.scenario)
    with tools:
        keep.tools("memcalc-changes", decide.now, _offers, bring.with_changes)


def _offers(runs: Sequence[Run]) -> list[export.Offer]:
    """The changes as a file to take along."""
    (scenario,) = decide.now().values()
    machine = decide.machine(scenario)
    return [export.table("Changes", "-list.csv", lambda: say.rows(advice_view.advice(scenario, machine)[0]))]


def _answer(asked: Asked, run: Run, summary: st.delta_generator.DeltaGenerator) -> None:
    card, _ = result.card_of([run], asked.chosen.settings.gpu)
    summary.html(markup.verdicts({asked.title: words.verdict(run, card)}))
    apply = partial(decide.apply, asked.task)
    found, best = advice_view.advice(asked.scenario, asked.machine)
    fits = found.now.fits
    if found.now.state == "unknown":
        st.info("Choose a card to see what would make it fit.", icon=":material/info:")
    elif not fits:
        advice_view.cheapest(best, apply, "page")
    left, right = st.columns([5, 4], gap="large")
    with left:
        st.subheader("It fits. To need less still" if fits else "Changes, best first", anchor=False)
        advice_view.listed(found, apply, "page")
    with right:
        st.subheader("How far this card goes", anchor=False)
        reach_view.show(asked.scenario, asked.machine)
