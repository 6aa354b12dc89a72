"""How far a scenario can be taken on a card: the largest of each number, of the family, and the frontier of a pair."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.machine import Machine
from memcalc.kinds import idle_in, sees
from memcalc.scenario import Scenario
from memcalc.scenario.paths import Json, get
from memcalc.shared import Shared
from memcalc.solve import Answer, Frontier, frontier, largest
from memcalc.solve.cards import CardVerdict, smallest_card
from memcalc.solve.models import ModelVerdict, models_that_fit
from memcalc.solve.quantities import possible
from memcalc.solve.replicas import MOST, Fewest, fewest_cards
from memcalc.solve.verdict import understood
from memcalc.ui.colours import COLOURS
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.words import plain

ALONG = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


@dataclass(frozen=True)
class Reach:
    """Everything that is searched."""

    largest: list[Answer]
    models: list[ModelVerdict]
    card: CardVerdict | None
    pair: Frontier
    cards: Fewest | None


def reach(scenario: Json, machine: Machine | None = None) -> Reach:
    """Everything that is searched; remembered, unless it is about a GPU of this machine."""
    asked = json.dumps(scenario)
    return _remembered(asked) if machine is None else _fresh(asked, machine)


def _fresh(asked: str, machine: Machine | None = None) -> Reach:
    scenario, shared = json.loads(asked), Shared(machine=machine)
    found = [largest(scenario, one.path, False, shared) for one in possible(scenario)]
    models = models_that_fit(scenario, None, False, shared)
    pair = frontier(scenario, "batch", _extent(scenario), ALONG, False, shared)
    shared.tapes.clear()
    fewest = None
    if scenario.get("task") == "train":
        with suppress(MemcalcError):  # what cannot be sharded
            fewest = fewest_cards(scenario, allow_files=False, shared=shared)
    return Reach(found, models, smallest_card(scenario, False), pair, fewest)


_remembered = lru_cache(maxsize=256)(_fresh)


def rows(scenario: Json, found: list[Answer]) -> list[dict[str, str]]:
    """The table: each number as it is, the largest that fits, and what is beyond."""
    filled = understood(scenario, False)
    listed = []
    for one in found:
        now = get(filled, one.quantity.path)
        listed.append(
            {
                "number": one.quantity.name,
                "now": f"{now:,}" if isinstance(now, int) else "as usual",
                "largest that fits": f"{one.value:,}" if one.value else "not even 1",
                "one more": _beyond(one),
            }
        )
    return listed


def counted(found: Fewest | None) -> str:
    """The fewest cards of this kind, in words."""
    if found is None:
        return f"no number up to {MOST:,}, sharded over them"
    return "1 is enough" if found.cards == 1 else f"{found.cards:,}, sharded by {found.strategy}"


def _beyond(one: Answer) -> str:
    if one.why:
        return one.why
    if one.again:
        return "memory falls again: " + ", ".join(f"{value:,}" for value in one.again[:3]) + " fit too"
    if one.next is not None and one.value:
        return f"{units.binary(one.next.excess)} too much"
    return "" if one.value else "all else as it is"


def _extent(scenario: Json) -> str:
    """The field that says how large each member of the batch is."""
    if sees(scenario):
        return "image_size"
    if "seq_len" in idle_in(scenario):  # an encoder of fixed length: what the decoder writes
        return "target_len" if scenario.get("task") == "train" else "inference.new_tokens"
    return "seq_len" if scenario.get("task") == "train" else "inference.prompt_tokens"


_UNITS = {"image_size": ("pictures", "pixels a side", "size"), "seq_len": ("sequences", "tokens", "length")}
_UNITS |= dict.fromkeys(("inference.prompt_tokens", "inference.new_tokens", "target_len"), _UNITS["seq_len"])
"""What a batch is made of, the unit of how large each is, and what that is called."""


def figure(found: Frontier, now: tuple[int, int]) -> dict[str, Any]:
    """The frontier as a line: what is below it fits."""
    points = [point for point in found.points if point[1] > 0]
    many, unit, _ = _UNITS[found.of]
    hover = [f"{batch:,} {many} of up to {length:,} {unit} fit" for batch, length in points]
    return {
        "data": [
            {"type": "scatter", "mode": "lines+markers", "x": [one for one, _ in points], "y": [y for _, y in points],
             "fill": "tozeroy", "fillcolor": COLOURS["kv_cache"] + "2A",
             "line": {"color": COLOURS["kv_cache"], "width": 3}, "hovertext": hover,
             "hoverinfo": "text"},
            {"type": "scatter", "mode": "markers+text", "x": [now[0]], "y": [now[1]], "text": ["now"],
             "textposition": "top center", "marker": {"symbol": "x", "size": 12, "color": COLOURS["gradients"]},
             "hovertext": [f"now: {now[0]:,} × {now[1]:,}"], "hoverinfo": "text"},
        ],
        "layout": {
            "height": 320, "margin": {"l": 64, "r": 12, "t": 12, "b": 48}, "showlegend": False, "dragmode": False,
            "xaxis": {"type": "log", "title": {"text": f"{many} at once"}, "fixedrange": True,
                      "tickvals": list(ALONG), "ticktext": [str(one) for one in ALONG]},
            "yaxis": {"type": "log", "title": {"text": f"{unit} each"}, "fixedrange": True,
                      "tickvals": [2**power for power in range(0, 22, 2)],
                      "ticktext": [f"{2**power:,}" for power in range(0, 22, 2)]},
        },
    }  # fmt: skip


def words(found: Frontier) -> str:
    """The frontier as a sentence."""
    said = [f"{batch:,} × {length:,}" for batch, length in found.points if length]
    many, unit, _ = _UNITS[found.of]
    return f"{many.capitalize()} at once and the most {unit} each that fit: " + (", ".join(said) or "none") + "."


def show(scenario: Json, machine: Machine | None) -> None:
    """The tables and the chart."""
    try:
        found = reach(scenario, machine)
    except MemcalcError:
        st.caption("Choose a card, or say how much memory is free, to see how far this can be taken.")
        return
    st.dataframe(rows(scenario, found.largest), hide_index=True, key="reach")
    fits = next((one for one in found.models if one.verdict and one.verdict.fits), None)
    card, pair = found.card, found.pair
    where = f"{card.gpu.name} ({units.binary(card.gpu.capacity)})" if card else "none of the catalogue"
    said = [
        f"Largest model of the family that fits: **{fits.name if fits else 'none'}**.",
        f"Smallest card for the scenario as it is: **{where}**.",
    ]
    if scenario.get("task") == "train":
        said.append(f"Fewest cards of this kind: **{plain(counted(found.cards))}**.")
    st.markdown("  \n".join(said))
    filled = Scenario.read(understood(scenario, False)).as_dict()
    if not any(most for _, most in pair.points):
        st.caption(f"No batch fits at any {_UNITS[pair.of][2]} as it is: make one of the changes first.")
        return
    st.markdown(f"**Batch against {_UNITS[pair.of][2]}**: everything under the line fits.")
    st.plotly_chart(
        PlainFigure(figure(pair, (int(get(filled, "batch") or 1), int(get(filled, pair.of))))),
        key="frontier", config={"displayModeBar": False}, alt=words(pair),
    )  # fmt: skip
