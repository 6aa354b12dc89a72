"""The models that a visitor has brought: kept in the link, shown in every page's list of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from memcalc import checkpoint
from memcalc.models import packed
from memcalc.quantisation.published import Published
from memcalc.scenario.paths import Json
from memcalc.ui import carry, catalogues, options, own_models
from memcalc.ui.own_models import KEY, MOST, Own
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

_LONG: Final = "_own_long"
"""Where a session keeps those that are too long for a link."""


def hold() -> None:
    """Keep them in this page's link: in a text field that nobody sees."""
    st.text_input("Brought models", key=KEY, bind="query-params", label_visibility="collapsed")


def held() -> tuple[Own, ...]:
    """This visitor's own models, the newest first."""
    linked, _ = own_models.read(str(st.session_state.get(KEY) or ""))
    long = tuple(st.session_state.get(_LONG) or ())
    return own_models.labelled((*(one.text for one in linked), *long)) if long else linked


def labels() -> list[str]:
    """What they are called."""
    return [one.label for one in held()]


def find(label: object) -> Own | None:
    """The one that is called ``label``."""
    return next((one for one in held() if one.label == label), None)


def scenario_model(model: str | int) -> Any:
    """What a scenario says for a model of the list, or for so many parameters."""
    own = find(model)
    return own.model if own else {"parameters": model} if isinstance(model, int) else model


def longest(model: str | int) -> int | None:
    """The most tokens that a model of the list has learned positions for; None where nothing ends there."""
    own = find(model)
    return own.longest if own else catalogues.longest(model)


def generates(model: str | int) -> bool:
    """Whether a model of the list writes text."""
    return own_models.writes(scenario_model(model))


def states(model: Json) -> dict[str, Any]:
    """The states of the controls that show a model, with it among this visitor's own; the oldest makes room."""
    text = packed.pack(model)
    texts = [text, *(one.text for one in held() if one.text != text)][:MOST]
    linked = [one for one in texts if len(one) <= packed.LONGEST]
    long = [one for one in texts if one not in linked]
    label = next(one.label for one in own_models.labelled((*linked, *long)) if one.text == text)
    return {KEY: own_models.write(linked), _LONG: long, "source": options.SOURCES[0], "model": label}


def keep(model: Json) -> None:
    """Have a model in the lists, without showing it."""
    _put({key: state for key, state in states(model).items() if key in (KEY, _LONG)})


def take(model: Json) -> str:
    """Show a model that was brought; what it is called in the list."""
    carry.step()
    _put(states(model))
    return str(st.session_state["model"])


def choose(name: str) -> None:
    """Show a model of the catalogue."""
    carry.step()
    _put({"source": options.SOURCES[0], "model": name})


def _put(new: Mapping[str, Any]) -> None:
    for key, state in new.items():
        if st.session_state.get(key) != state:
            st.session_state[key] = state


def remove(label: str) -> None:
    """Take one out of the list."""
    carry.step()
    kept = [one for one in held() if one.label != label]
    chosen = find(st.session_state.get("model"))
    st.session_state[KEY] = own_models.write(one.text for one in kept if one.linked)
    st.session_state[_LONG] = [one.text for one in kept if not one.linked]
    # Names may have changed: two of the same name are told apart by numbers.
    left = next((one.label for one in held() if chosen and one.text == chosen.text), str(Settings.model))
    if chosen:
        st.session_state["model"] = left


def word(label: str) -> None:
    """What there is to say about the model that is chosen, if it is one of these."""
    own = find(label)
    if own is None:
        return
    model = own.model
    kind = "The header of a GGUF file" if "stored" in model else "Its config.json"
    place = f", of {model['repository']}" if "repository" in model else ""
    if own.stored is not None:
        _quantised(own.stored)
    if own.linked:
        st.caption(plain(f"{kind}{place}; it is in the link."))
        return
    st.warning(
        plain(
            f"This model's description has {len(own.text):,} characters, too many for a link. To share it, save the "
            "scenario with “Take it along”; “Bring a scenario” opens it anywhere."
        ),
        icon=":material/link_off:",
    )


def _quantised(stored: Published) -> None:
    if stored.weights is None:
        st.warning(plain(f"Its weights are quantised: {stored.refusal}."), icon=":material/compress:")
    else:
        st.caption(plain(f"Its weights were published in {checkpoint.name(stored)}: inference takes them so."))
