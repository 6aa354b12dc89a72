"""The way to every page on a narrow screen, where Streamlit puts its own navigation behind the sidebar's button."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage

KEY = "pages"
"""The menu's key, by which ``assets/style.css`` shows it on narrow screens only, in place of the sidebar's button."""


def phone(pages: Sequence[StreamlitPage], now: StreamlitPage) -> None:
    """A menu of all pages, named after the page that is shown."""
    others = {page.title: page for page in pages}
    wanted = st.menu_button(now.title, list(others), key=KEY, icon=":material/menu:")
    if wanted and wanted != now.title:
        # Without query_params, Streamlit refuses to leave a page whose controls are bound to the address.
        st.switch_page(others[wanted], query_params={})
