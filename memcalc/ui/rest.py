"""What can wait until the visitor's hand rests: dozens of further estimates, which no slider should wait for.

A page asks ``settled`` whether its question has been the same for a moment. Where it has not, the page shows what it
found last, dimmed (``DIM``), and has the chart's part end with ``wait``: a fragment that comes back once and has the
whole page drawn again.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

PAUSE = 0.7
"""Seconds. 0: nothing waits (for tests that look at a page without a browser)."""
DIM: Final = "<style>:is(.mc-line.mc-changes, .st-key-facts, .st-key-advice, .st-key-more) { opacity: .45; }</style>"
"""To be sent with an answer whose question has not rested: what the page said before about another one is dimmed."""
_SETTLED: Final = "_settled"
_WAITING: Final = "_waiting"


def settled(name: str, asked: str, at_first: bool = True) -> bool:
    """Whether ``asked`` is what the page rests on. ``at_first``: the first question of a visit does not wait."""
    held: dict[str, str] = st.session_state.setdefault(_SETTLED, {})
    if not PAUSE or (at_first and name not in held):
        held[name] = asked
    return held.get(name) == asked


def wait(name: str, asked: str) -> None:
    """Draw the page again once ``asked`` has stood for a moment; nothing where it is settled."""
    if not settled(name, asked, at_first=False):
        _later(name, asked)


@st.fragment(run_every=PAUSE or None)
def _later(name: str, asked: str) -> None:
    waiting: dict[str, str] = st.session_state.setdefault(_WAITING, {})
    if waiting.get(name) != asked:
        waiting[name] = asked
        return
    st.session_state[_SETTLED][name] = asked
    st.rerun()
