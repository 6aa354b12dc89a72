"""What a visitor has set, taken along to another page.

Streamlit ties a control to its page. A control bound to the address keeps its value, but only from the end
of the first run on another page on: until then a control of the same name starts with its usual value there,
and the address says nothing. ``over`` lets Streamlit put the values away before that run instead of after it.
"""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_PAGE = "_page"


def over(page: str) -> None:
    """To be called before the page of this name is drawn."""
    before = st.session_state.get(_PAGE)
    st.session_state[_PAGE] = page
    context = get_script_run_ctx()
    if before is not None and before != page and context is not None:
        context.session_state.on_script_finished(frozenset())
