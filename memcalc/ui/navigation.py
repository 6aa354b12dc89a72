"""The way to every page: on a narrow screen, where Streamlit puts its own navigation behind the sidebar's button, and
from an address that names no page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from memcalc.ui import carry
from memcalc.ui.words import plain

KEY = "pages"
"""The menu's key, by which ``assets/style.css`` shows it on narrow screens only, in place of the sidebar's button."""
_MISSING: Final = "_missing_page"
_LONGEST: Final = 60  # characters of an address that are repeated


def follow(pages: Sequence[StreamlitPage]) -> None:
    """Go where the menu was pressed, before the page that is left draws anything."""
    wanted = st.session_state.get(KEY)
    for page in pages:
        if page.title == wanted:
            carry.go(page.url_path)


def phone(pages: Sequence[StreamlitPage], now: StreamlitPage) -> None:
    """A menu of the other pages, named after the page that is shown. It comes last: what hides it on a wide screen
    is then there already."""
    st.menu_button(now.title, [page.title for page in pages if page is not now], key=KEY, icon=":material/menu:")


def lost(pages: Sequence[StreamlitPage]) -> None:
    """Note an address that names no page, before Streamlit looks for it: its own word covers the page, and does not
    say which pages there are."""
    context = get_script_run_ctx()
    if context is None or context.pages_manager.intended_page_script_hash:
        return
    asked = context.pages_manager.intended_page_name
    if asked and asked not in {page.url_path for page in pages}:
        st.session_state[_MISSING] = asked[:_LONGEST]
        context.pages_manager.set_script_intent("", "")


def missing(pages: Sequence[StreamlitPage], now: StreamlitPage) -> None:
    """The word about such an address, above the first page with the link's settings, until another is opened."""
    if now.url_path:
        st.session_state.pop(_MISSING, None)
    if _MISSING not in st.session_state:
        return
    with st.container(border=True, gap="small", key="no-such-page"):
        st.markdown(
            f"**There is no page “{plain(st.session_state[_MISSING])}” here.** Below is “{now.title}”, with the link’s "
            "settings. The pages are:"
        )
        with st.container(horizontal=True, gap="small"):
            for page in pages:
                st.page_link(page)
