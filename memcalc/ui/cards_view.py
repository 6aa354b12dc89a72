"""The page "Cards": every card of the catalogue against a scenario."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import streamlit as st

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.scenario.paths import Json, put
from memcalc.solve.cards import CardVerdict, cards
from memcalc.ui import bring, decide, export, frame, keep
from memcalc.ui.ledger import Run

LINK: Final = "query-params"
SHOWN = ("That fit", "Fit or tight", "All")
_STATES = {"That fit": ("fits",), "Fit or tight": ("fits", "tight"), "All": ("fits", "tight", "does not fit")}
SIGNS = {"fits": "✓ fits", "tight": "! tight", "does not fit": "✕ does not fit"}


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    tools = frame.heading("Cards", "Which cards run it, by memory: with what is to spare, the bandwidth and the year.")
    notes = st.container()
    asked = decide.ask()
    shown = st.segmented_control("Show", SHOWN, default=SHOWN[0], required=True, key="shown", bind=LINK)
    try:
        found = answer(asked.scenario)
    except MemcalcError as error:
        asked.chosen.remark(asked.chosen.settings, [error])
    else:
        asked.chosen.remark(asked.chosen.settings, [])
        _table(found, str(shown))
    with notes:
        frame.link_notes(given, lambda: {**decide.allowed(), "shown": SHOWN}, (asked.scenario, shown))
    with tools:
        keep.tools("memcalc-cards", decide.now, _offers, bring.with_changes)


def _offers(_runs: Sequence[Run]) -> list[export.Offer]:
    """All cards with their verdicts as a file to take along."""
    (scenario,) = decide.now().values()
    return [export.table("Cards", "-list.csv", lambda: rows(answer(scenario), _STATES["All"]))]


@lru_cache(maxsize=128)
def _remembered(asked: str) -> tuple[CardVerdict, ...]:
    return cards(json.loads(asked), allow_files=False)


def answer(scenario: Json) -> tuple[CardVerdict, ...]:
    """The cards; which one was chosen, and how much of it is free, does not matter."""
    bare = put(put(scenario, "hardware.gpu", None), "hardware.free", None)
    return _remembered(json.dumps(bare))


def sentence(found: tuple[CardVerdict, ...]) -> str:
    """The table in one or two sentences."""
    fits = [one for one in found if one.verdict and one.verdict.fits]
    if not fits:
        return f"None of the {len(found)} cards of the catalogue runs this alone."
    first = fits[0].gpu
    newest = max(fits, key=lambda one: one.gpu.year).gpu.year
    home = next((one.gpu for one in fits if one.gpu.consumer), None)
    more = f" The smallest consumer card is the {home.name} ({units.binary(home.capacity)})." if home else ""
    return (
        f"{len(fits)} of {len(found)} cards run this, the newest of {newest}; the smallest is the {first.name} "
        f"({units.binary(first.capacity)}).{more}"
    )


def rows(found: tuple[CardVerdict, ...], states: tuple[str, ...]) -> list[dict[str, Any]]:
    """The table's rows, by memory."""
    listed = []
    for one in found:
        if one.verdict is None or one.verdict.state not in states:
            continue
        gpu = one.gpu
        listed.append(
            {
                "card": gpu.name,
                "verdict": SIGNS[one.verdict.state],
                "memory (GiB)": round(units.gib(gpu.capacity), 1),
                "to spare at worst (GiB)": round(units.gib(one.headroom or 0), 2),
                "bandwidth (GB/s)": gpu.bandwidth_gb_s,
                "year": gpu.year,
                "memory known": "read from a driver" if gpu.kind == "measured" else "from its box",
            }
        )
    return listed


def _table(found: tuple[CardVerdict, ...], shown: str) -> None:
    st.markdown(sentence(found))
    listed = rows(found, _STATES.get(shown, _STATES[SHOWN[0]]))
    if not listed:
        st.info("No card of this kind. Make it fit shows what would change that.", icon=":material/info:")
        return
    st.dataframe(
        listed, hide_index=True, key="cards-table", height=min(640, 38 + 35 * len(listed)),
        column_config={
            "card": st.column_config.TextColumn(width=300),
            "year": st.column_config.NumberColumn(format="%d"),
        },
    )  # fmt: skip
    st.caption(
        "Memory is what a process can use: what the driver reports minus what it keeps. To spare at worst: that, minus "
        "the high end of the estimate's range and what is to stay free. Cards that are not NVIDIA's are judged as if "
        "workspaces, context and kernels were the same."
    )
