"""The way to every page on a narrow screen, where Streamlit puts its own navigation behind the sidebar's button."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from memcalc.ui import carry

KEY = "pages"
"""The menu's key, by which ``assets/style.css`` shows it on narrow screens only, in place of the sidebar's button."""


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
