"""Presenter mode: the bar at the foot with the way on and back, the keys that clickers send, and the room's link."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Final

import streamlit as st
from streamlit import config
from streamlit.delta_generator import DeltaGenerator

from memcalc.learn.lessons import LESSONS
from memcalc.ui import brought, controls, learn_link, learn_markup, learn_state, markup, own_models
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

MODEL_KEYS: Final = {"source": controls.SOURCES[0], "model": "Llama-3.1-8B", "size": "7B", "exact": ""}
"""What decides about the model in a link, and what may be left out of it."""
_HOST: Final = "_host"
_ADDRESS: Final = "_room-address"


@lru_cache(maxsize=1)
def _css() -> str:
    return (files("memcalc.ui") / "assets" / "presenter.css").read_text(encoding="utf-8")


def style() -> None:
    """Large letters, and nothing around the lesson."""
    st.html(f"{markup.style()}<style>{_css()}</style>")


def bar() -> DeltaGenerator:
    """The foot of the page."""
    return st.container(horizontal=True, gap="small", vertical_alignment="center", key="presenter")


def buttons(number: int, presenting: bool) -> None:
    """Begin or end, the room's link; when presenting also on and back, by key as well."""
    _link(number)
    if not presenting:
        st.button("Present", key="begin", icon=":material/slideshow:", on_click=learn_state.present, args=(True,),
                  help="Large letters and nothing around. The arrow keys and a clicker go on and back.")  # fmt: skip
        return
    at = learn_state.STEPS.index(learn_state.step())
    st.button("Back", key="back", on_click=learn_state.back, shortcut="Left", disabled=number == 1 and at == 0)
    st.button("Next", key="next", on_click=learn_state.onward, shortcut="Right", type="primary",
              disabled=number == len(LESSONS) and at == len(learn_state.STEPS) - 1)  # fmt: skip
    st.caption(f"Lesson {number} of {len(LESSONS)}, {at + 1} of {len(learn_state.STEPS)}", width="content")
    st.button("End", key="end", on_click=learn_state.present, args=(False,), shortcut="Esc", type="tertiary")
    with st.container(key="clicker"):
        st.button("Back by clicker", key="page-up", on_click=learn_state.back, shortcut="PageUp")
        st.button("Next by clicker", key="page-down", on_click=learn_state.onward, shortcut="PageDown")


def _link(number: int) -> None:
    """This very state as a link and a QR code, made when somebody looks."""
    place = st.popover("Link and QR code", icon=":material/qr_code_2:", key="room", on_change="rerun")
    if not place.open:
        return
    with place:
        shown = st.container()
        listens = config.get_option("server.address")
        own = room_address() if learn_link.guessing(st.context.url, listens) else None
        typed = st.text_input("Address of this server, if it is another", key=_HOST, placeholder="192.168.1.7:8501",
                              max_chars=260)  # fmt: skip
        found = learn_link.place(st.context.url, listens, typed or "", own)
        with shown:
            if not found.base:
                st.warning(plain(found.note), icon=":material/link_off:")
                return
            link = learn_link.address(found.base, "learn", settings(number))
            st.html(learn_markup.picture(learn_link.code(link), link))
            st.caption(plain(" ".join(filter(None, (found.note, _unlinked())))))


def room_address() -> learn_link.Address | None:
    """The address of this machine that students are to use: where it has several, the teacher chooses."""
    known = {one.label: one for one in learn_link.addresses()}
    if len(known) < 2:
        return next(iter(known.values()), None)
    chosen = st.selectbox(
        "This machine has several addresses", list(known), key=_ADDRESS,
        help="Choose the one in the network that the students are in, most often the Wi-Fi.",
    )  # fmt: skip
    return known.get(str(chosen))


def _unlinked() -> str:
    """Where the link cannot bring the model along, a sentence about it."""
    own = _own()
    if own is None or own.linked:
        return ""
    return f"{own.label} is too large for a link: students see {Settings.model}."


def _own() -> own_models.Own | None:
    """The brought model that the lesson is about, if it is one."""
    held = st.session_state
    return brought.find(held.get("model")) if held.get("source", controls.SOURCES[0]) == controls.SOURCES[0] else None


def settings(number: int) -> dict[str, str]:
    """What the link says: lesson, step, model, and the variables that are not as usual."""
    held = st.session_state
    said = {learn_state.LESSON: str(number), learn_state.STEP: learn_state.step()}
    source = held.get("source", controls.SOURCES[0])
    keys = ("source", "model") if source == controls.SOURCES[0] else ("source", "size", "exact")
    said |= {key: str(held[key]) for key in keys if key in held}
    own = _own()
    if own is not None:
        # Alone in the link, it may be called otherwise than among others of the same name.
        (alone,) = own_models.labelled((own.text,))
        said["model"] = alone.label if own.linked else str(Settings.model)
        said |= {own_models.KEY: own.text} if own.linked else {}
    if learn_state.step() != "question":
        lesson = LESSONS[number - 1]
        for one in lesson.variables:
            if one.key in held:
                said[one.key] = str(held[one.key])
        if len(lesson.variables) > 1 and learn_state.MOVE in held:
            said[learn_state.MOVE] = str(held[learn_state.MOVE])
    usual = {**MODEL_KEYS, learn_state.LESSON: "1", learn_state.STEP: learn_state.STEPS[0]}
    usual |= {one.key: one.name(one.usual) for one in LESSONS[number - 1].variables}
    return {key: value for key, value in said.items() if usual.get(key) != value}
