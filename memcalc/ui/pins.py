"""Pinned scenarios: up to four, kept in the link as one compact JSON value.

A pin is a scenario of the contract and nothing else. Its model is one of the catalogue, a size, or describes itself;
anything that could make the server read a file or ask another machine is dropped, as is what the core refuses.
The value lives in a text field that nobody sees: Streamlit then keeps link, history and session in step.
"""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from typing import Any

import streamlit as st

import memcalc
from memcalc.diffusion import NAMES
from memcalc.errors import MemcalcError
from memcalc.models import packed, portable, vision
from memcalc.ui import carry, catalogues, own_models
from memcalc.ui.form import Json
from memcalc.ui.words import plain

KEY = "pins"
_PACKED = "packed"
MOST = 4
HOW = f"Up to {MOST} scenarios can be pinned and compared. They are kept in the link."
FULL = f"{HOW} Unpin one on the page Compare first."
LONGEST = 6000  # characters of all pins together: a link stays short enough for every browser and chat


def loads(text: str, longest: int = LONGEST) -> Any:
    """JSON from a stranger, or ValueError with a sentence: no NaN, no endless nesting, no megabytes."""
    if len(text) > longest:
        raise ValueError(f"it is longer than {longest:,} characters")

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON (line {error.lineno}, column {error.colno})") from None


def check(scenario: Any) -> Json:
    """A stranger's scenario if memcalc can answer it without reading files or asking others; else ValueError."""
    if not isinstance(scenario, dict):
        raise ValueError("a scenario is a JSON object")
    model = scenario.get("model")
    size = isinstance(model, dict) and set(model) == {"parameters"} and isinstance(model["parameters"], int | float)
    named = isinstance(model, str) and (model in catalogues.models() or model in NAMES)
    own = own_models.is_own(model)
    if not size and not named and not own and not vision.is_vision(model):
        raise ValueError(
            'its model must be a name of the catalogue, {"parameters": a number} or {"config": {…}}; one of the Hub '
            "is looked up with “Bring a model” first"
        )
    try:
        if own:
            scenario = {**scenario, "model": portable.carried(model)}
        memcalc.estimate(scenario, False, catalogues.machine())
    except MemcalcError as error:
        raise ValueError(error.message) from None
    except (ArithmeticError, RecursionError, TypeError):
        raise ValueError("its numbers cannot be used") from None
    return scenario


def read(text: str) -> tuple[list[Json], list[str]]:
    """The pins in a link's value, and a sentence for each that was dropped."""
    if not text:
        return [], []
    try:
        given = loads(text)
        if not isinstance(given, list):
            raise ValueError("it is not a list")
    except ValueError as error:
        return [], [f"The link's pins cannot be read: {error}."]
    found: list[Json] = []
    dropped = []
    for number, one in enumerate(given, 1):
        try:
            if len(found) == MOST:
                raise ValueError(f"only {MOST} fit")
            found.append(check(_opened(one)))
        except ValueError as error:
            dropped.append(f"Pin {number} was dropped: {error}.")
        if number > 2 * MOST:
            break
    return found, dropped


_remembered = lru_cache(maxsize=256)(read)


def write(pins: list[Json]) -> str:
    """The pins as a link's value; models that describe themselves are packed."""
    closed = [
        {**one, "model": {_PACKED: packed.pack(one["model"])}} if own_models.is_own(one["model"]) else one
        for one in pins
    ]
    return json.dumps(closed, separators=(",", ":"), ensure_ascii=True) if pins else ""


def _opened(scenario: Any) -> Any:
    """A pin with its packed model opened; ValueError where that is none."""
    model = scenario.get("model") if isinstance(scenario, dict) else None
    if not isinstance(model, dict) or set(model) != {_PACKED}:
        return scenario
    try:
        return {**scenario, "model": packed.unpack(str(model[_PACKED]))}
    except MemcalcError as error:
        raise ValueError(f"its model cannot be used: {error.message}") from None


def hold() -> None:
    """Keep the pins in this page's link."""
    st.text_input("Pinned scenarios", key=KEY, bind="query-params", label_visibility="collapsed")


def pinned() -> tuple[list[Json], list[str]]:
    """This visitor's pins, and what was dropped."""
    text = str(st.session_state.get(KEY) or "")
    # Each pin is an estimate; only those of this machine's GPUs can be another one tomorrow.
    return read(text) if "live:" in text else copy.deepcopy(_remembered(text))


def add(*scenarios: Json) -> None:
    """Pin scenarios, each once, as many as there is room for."""
    held, _ = pinned()
    new = [one for one in scenarios if one not in held]
    if new:
        text = write([*held, *new][:MOST])
        if len(text) > LONGEST:
            raise ValueError(f"with it the pins have {len(text):,} characters, and a link takes {LONGEST:,}")
        carry.step()
        st.session_state[KEY] = text


def remove(place: int) -> None:
    """Take one pin out."""
    held, _ = pinned()
    carry.step()
    st.session_state[KEY] = write([one for index, one in enumerate(held) if index != place])


def link() -> None:
    """The way to the page Compare, where something is pinned; and what the link's pins had wrong."""
    held, dropped = pinned()
    if held:
        st.page_link("pages/views/compare.py", label=f"Compare {len(held)} pinned", icon=":material/compare_arrows:")
    for line in dropped:
        st.caption(plain(line))
