"""Drawing again no more than what a control changes.

A page draws its answer in parts: fragments that have names. A control that changes no other control is made with
``on_change=redraw.answer``: the server then draws those parts alone and neither the server nor the browser goes
through the controls, which is most of what a movement of a slider would otherwise cost. The whole page follows once
the settings have rested (``rest``); a word that stands at the controls is not in a part, so that the page is drawn
whole at once where such a word comes or goes (``outside``).

The controls are a fragment too (``controls``), so that the browser does not take a movement for one of the whole page
at first, and goes through every element of it. That fragment is never drawn alone: each control in it names what is
to be drawn, ``answer`` or ``whole``.

The parts are fragments of their own and never write to a container outside of themselves: Streamlit refuses that
after a run of the whole page that was interrupted, as the next movement of a slider does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import streamlit as st
from streamlit import config
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from memcalc.ui import carry

#: The parts of a page, in the order in which they are drawn again: the browser needs longest for a chart.
PARTS: Final = ("chart", "verdict")
_HELD: Final = "_parts"
_OUTSIDE: Final = "_outside"
Draw = Callable[[], None]
Drawn = TypeVar("Drawn")


def part(name: str) -> Callable[[Draw], Draw]:
    """A part of the page, by one of the names in ``PARTS``: for a function without arguments, as a decorator."""
    _held().add(name)
    return st.fragment(key=_key(name))


def _held() -> set[str]:
    """The names of the parts that this visitor's page has."""
    held: dict[str, set[str]] = st.session_state.setdefault(_HELD, {})
    return held.setdefault(carry.page(), set())


def controls(draw: Callable[[], Drawn]) -> Drawn:
    """Draw the controls; what they say."""
    return st.fragment(key=_key("controls"))(draw)()


def _key(name: str) -> str:
    """A name of one page only: a page that is left keeps its parts until the next is drawn to its end."""
    return f"{name}-of-{carry.page()}"


def answer() -> None:
    """A control's ``on_change``: draw the answer's parts again; the whole page where there are none.

    Under AppTest it is always the whole page: AppTest forgets what the last run did not draw.
    """
    if config.get_option("global.appTest"):
        return
    try:
        st.rerun([_key(name) for name in PARTS if name in _held()])
    except StreamlitAPIException:  # the page has no parts, or has not been drawn to its end
        st.rerun()


def whole() -> None:
    """A control's ``on_change``: draw the whole page again."""
    if not config.get_option("global.appTest"):
        st.rerun()


def alone() -> bool:
    """Whether this run draws parts of the page, not all of it."""
    context = get_script_run_ctx()
    return context is not None and bool(context.fragment_ids_this_run)


def outside(said: object) -> None:
    """To be told what the answer says outside of its parts, at the controls: where that is something else than in the
    last run of the whole page, the whole page is drawn again."""
    if not alone():
        st.session_state[_OUTSIDE] = said
    elif st.session_state.get(_OUTSIDE) != said:
        st.rerun()
