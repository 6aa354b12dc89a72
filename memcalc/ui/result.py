"""What comes out: verdicts in words, the bars, the table, what was assumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import streamlit as st

import memcalc
from memcalc.errors import MemcalcError
from memcalc.hardware.live import is_live
from memcalc.hardware.machine import Machine
from memcalc.ui import catalogues, export, figures, markup, rest, words
from memcalc.ui.ledger import Run, run
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.state import Settings


def ask(title: str, scenario: dict[str, Any]) -> Run:
    """The core's answer. A visitor who moves one task's control, or comes back, does not pay for the other again."""
    gpu = scenario.get("hardware", {}).get("gpu", "")
    asked = json.dumps(scenario)
    return _fresh(title, asked, catalogues.machine()) if is_live(gpu) else _remembered(title, asked)


def _fresh(title: str, asked: str, machine: Machine | None = None) -> Run:
    return run(title, memcalc.estimate(json.loads(asked), False, machine).as_dict())


#: Answers depend on nothing but the question, so all visitors may share them; nobody changes one.
_remembered = lru_cache(maxsize=1024)(_fresh)


def answers(settings: Settings) -> tuple[dict[str, Run | None], list[MemcalcError]]:
    """Training and inference by title, None for what the core refuses, and the refusals."""
    runs: dict[str, Run | None] = {}
    refusals = []
    for title, scenario in (("Training", settings.training()), ("Inference", settings.inference())):
        try:
            runs[title] = ask(title, scenario)
        except MemcalcError as error:
            runs[title] = None
            refusals.append(type(error)(f"{title}: {error.message}", error.field, error.choices))
    return runs, refusals


def card_of(runs: list[Run], gpu: str | None) -> tuple[str, int | None]:
    """What to call the card, and its capacity as the core understood it."""
    fit = next((one.estimate["fit"] for one in runs if one.estimate.get("fit")), None)
    return (words.card(gpu or "", fit["gpu"]), fit["capacity"]) if fit else ("", None)


def picture(settings: Settings, runs: Sequence[Run]) -> list[export.Offer]:
    """The bars as a file to take along."""
    card, capacity = card_of(list(runs), settings.gpu)
    make = partial(figures.phase_bars, list(runs), card, capacity)
    return [export.picture("memcalc-fit", make, words.alternative(list(runs), card, capacity))]


def verdicts(settings: Settings, fresh: bool) -> None:
    """The answer in words, a card for each run; ``fresh``: the settings rest on it."""
    runs, _ = answers(settings)
    card, _ = card_of([one for one in runs.values() if one], settings.gpu)
    said = markup.verdicts({title: words.verdict(one, card) if one else None for title, one in runs.items()})
    st.html(said if fresh else said + rest.DIM)


def show(settings: Settings) -> list[MemcalcError]:
    """The reason, the bars and their figures. Returned is what the core refused."""
    runs, refusals = answers(settings)
    shown = [one for one in runs.values() if one]
    card, capacity = card_of(shown, settings.gpu)
    if not shown:
        st.info("Nothing to show yet: see the note beside the settings.", icon=":material/info:")
        return refusals
    above = st.container()  # the chart is sent first: the browser needs longest for it
    st.plotly_chart(
        PlainFigure(export.room_for_camera(figures.phase_bars(shown, card, capacity))),
        key="phases",
        config=export.camera("memcalc-fit"),
        alt=words.alternative(shown, card, capacity),
    )
    above.html(markup.legend(shown, words.why(*shown) if len(shown) == 2 else ""))
    st.html(markup.table(shown))
    return refusals


def assumptions(runs: list[Run]) -> None:
    """What the core assumed; drawn only when somebody looks."""
    place = st.expander("What this assumes", icon=":material/rule:", key="assumptions", on_change="rerun")
    if not place.open:
        return
    for one in runs:
        listed = "\n".join(f"- {words.plain(line)}" for line in one.estimate.get("assumptions", []))
        place.markdown(f"**{one.title}**\n\n{listed or '- nothing beyond the settings'}")
