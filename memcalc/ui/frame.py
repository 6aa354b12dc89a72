"""What every page shares: the heading, and a word about links that were not understood."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from memcalc.ui import bring, carry, links, markup, own_models, redraw
from memcalc.ui.words import plain

_NOTED: Final = "_noted"


def heading(title: str, line: str) -> DeltaGenerator:
    """The page's title and its one line of explanation; returned is the place beside them, for buttons."""
    head = st.container(horizontal=True, vertical_alignment="bottom", key="heading")
    with head.container(gap="xxsmall", key="title"):
        st.title(title, anchor=False)
        st.caption(line)
        st.html(markup.style())
    return head.container(width="content", key="tools")


def link_notes(
    given: Mapping[str, str], allowed: Callable[[], Mapping[str, Collection[str] | None]], settings: object
) -> None:
    """Say which parts of the link were ignored, and what came of a file, until the visitor changes something.

    ``given`` are the address's parameters as they were before any control was drawn: Streamlit removes
    the ones that it cannot use. Settings that the visitor brings from another page are nobody's mistake.
    """
    shown = bring.note(settings)
    said: list[str] = []
    if given:
        known_here = allowed()
        foreign = {name for name in given if name not in known_here and carry.carried(name)}
        said = links.complaints({name: value for name, value in given.items() if name not in foreign}, known_here)
        said += own_models.read(given.get(own_models.KEY, ""))[1]
    known, at = st.session_state.get("_link_notes", ([], None))
    if any(line not in known for line in said):
        known, at = st.session_state["_link_notes"] = (said, settings)
    if known and at == settings:
        st.info(plain(" ".join(known)), title="Parts of this link were ignored", icon=":material/link_off:")
        shown = True
    st.session_state[_NOTED] = shown


def drop_notes() -> None:
    """In a part of the page that is drawn alone: have the page drawn where such a word stands, since it goes when the
    visitor changes something."""
    if redraw.alone() and st.session_state.get(_NOTED):
        st.rerun()
