"""The advice on a page: the cheapest set of changes, then each change with what it saves and costs, to be applied."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import streamlit as st

from memcalc.advise import Advice, Change, Item, Plan, advise, plan
from memcalc.advise.advice import Scale
from memcalc.hardware.machine import Machine
from memcalc.scenario.paths import Json
from memcalc.ui import advice_markup as say
from memcalc.ui.words import plain

Apply = Callable[[Mapping[str, Any]], None]
"""What a button does: make the scenario's fields (dotted paths) so."""


def advice(scenario: Json, machine: Machine | None = None) -> tuple[Advice, Plan]:
    """The list and the plan. They depend on nothing but the question, unless it is about a GPU of this machine."""
    asked = json.dumps(scenario)
    return _remembered(asked) if machine is None else _fresh(asked, machine)


def _fresh(asked: str, machine: Machine | None = None) -> tuple[Advice, Plan]:
    scale = Scale(allow_files=False, machine=machine)
    scenario = json.loads(asked)
    return advise(scenario, False, scale), plan(scenario, False, scale)


_remembered = lru_cache(maxsize=256)(_fresh)


def sets_of(changes: tuple[Change, ...]) -> dict[str, Any]:
    """All fields that changes set."""
    return {path: value for change in changes for path, value in change.sets}


def cheapest(found: Plan, apply: Apply, key: str, before: str = "") -> None:
    """The cheapest set, in a sentence (after a word ``before`` it) with a button."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"plan-{key}"):
        st.markdown(plain(before + say.headline(found)), width="content")
        if found.changes:
            label = "Apply all" if len(found.changes) > 1 else "Apply"
            st.button(label, key=f"apply-plan-{key}", icon=":material/auto_fix_high:", type="primary",
                      on_click=apply, args=(sets_of(found.changes),))  # fmt: skip


def listed(found: Advice, apply: Apply, key: str) -> None:
    """Every change, best first."""
    if not found.items:
        st.caption("No change that memcalc knows lowers the memory here.")
    for number, item in enumerate(found.items):
        _row(item, apply, f"{key}-{number}")


def _row(item: Item, apply: Apply, key: str) -> None:
    words, button = st.columns([8, 1], vertical_alignment="center", gap="small")
    with words.container(gap="xxsmall"):
        st.markdown(f"**{plain(item.change.title)}**: {plain(say.saving(item))} · {plain(say.after(item.verdict))}")
        st.caption(plain(say.cost(item)), help=plain(say.source(item)))
    button.button("Apply", key=f"apply-{key}", on_click=apply, args=(dict(item.change.sets),),
                  help=plain(f"Make this change: {item.change.title}"), width="stretch")  # fmt: skip
