"""Drawing again no more than what a control changes.

A page draws its answer in parts: fragments that have names. A control that changes no other control is made with
``on_change=redraw.answer``: the server then draws those parts alone and neither the server nor the browser goes
through the controls, which is most of what a movement of a slider would otherwise cost. The whole page follows once
the settings have rested (``rest``); a word that stands at the controls is not in a part, so that the page is drawn
whole at once where such a word comes or goes (``outside``).

The controls are a fragment too (``controls``), so that the browser does not take a movement for one of the whole page
at first, and goes through every element of it. That fragment is never drawn alone: each control in it names what is
to be drawn, ``answer`` or ``whole``, and the run that Streamlit begins for it draws the parts instead (``_lead``).

The parts are fragments of their own and never write to a container outside of themselves: Streamlit refuses that
after a run of the whole page that was interrupted, as the next movement of a slider does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import streamlit as st
from streamlit import config
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from memcalc.ui import carry

#: The parts of a page, in the order in which they are drawn again: the browser needs longest for a chart.
PARTS: Final = ("chart", "verdict")
_HELD: Final = "_parts"
_OUTSIDE: Final = "_outside"
_LEAD: Final = "_memcalc_lead"
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
    drawn = st.fragment(key=_key("controls"))(draw)()
    _lead()
    return drawn


def _key(name: str) -> str:
    """A name of one page only: a page that is left keeps its parts until the next is drawn to its end."""
    return f"{name}-of-{carry.page()}"


def _lead() -> None:
    """Have the run that Streamlit begins when a control is moved draw the answer's parts, not the control's fragment.

    Ended by ``st.rerun``, as it is otherwise, that run costs the browser two more passes over all elements of the page.
    Which fragments a run draws is asked of the session's own list of them (``FragmentStorage.order_fragment_ids``, no
    public part of Streamlit): here it is told to name the parts in place of the controls. Where it cannot be told,
    nothing is led, and ``answer`` asks for the parts.
    """
    storage = _storage()
    if storage is None or not hasattr(storage, "order_fragment_ids"):
        return
    led: dict[str, list[str]] | None = getattr(storage, _LEAD, None)
    if led is None:
        led = {}
        setattr(storage, _LEAD, led)
        ordered = storage.order_fragment_ids

        def order(asked: list[str]) -> list[str]:
            instead = {own: parts for name, parts in led.items() for own in _ids(storage, [name])}
            wanted = [two for one in asked for two in (_ids(storage, instead.get(one, [])) or [one])]
            return list(ordered(list(dict.fromkeys(wanted))))

        storage.order_fragment_ids = order
    led[_key("controls")] = [_key(name) for name in PARTS]


def _storage() -> Any:
    """The session's list of fragments."""
    return getattr(get_script_run_ctx(), "fragment_storage", None)


def _ids(storage: Any, names: list[str]) -> list[str]:
    """Streamlit's own names for the fragments of these names, as far as they have been drawn."""
    found: list[str] = []
    for name in names:
        with suppress(StreamlitAPIException):
            found += storage.resolve_target(name)
    return found


def answer() -> None:
    """A control's ``on_change``: draw the answer's parts again; the whole page where there are none.

    Under AppTest it is always the whole page: AppTest forgets what the last run did not draw.
    """
    if config.get_option("global.appTest"):
        return
    names = [_key(name) for name in PARTS if name in _held()]
    parts = _ids(_storage(), names)
    if parts and set(parts) <= set(_drawn_now()):
        return
    try:
        st.rerun(names)
    except StreamlitAPIException:  # the page has no parts, or has not been drawn to its end
        st.rerun()


def whole() -> None:
    """A control's ``on_change``: draw the whole page again."""
    if not config.get_option("global.appTest"):
        st.rerun()


def alone() -> bool:
    """Whether this run draws parts of the page, not all of it."""
    return bool(_drawn_now())


def _drawn_now() -> list[str]:
    """The fragments that this run draws, by Streamlit's own names; none where it draws the whole page."""
    context = get_script_run_ctx()
    return list((context and context.fragment_ids_this_run) or [])


def outside(said: object) -> None:
    """To be told what the answer says outside of its parts, at the controls: where that is something else than in the
    last run of the whole page, the whole page is drawn again."""
    if not alone():
        st.session_state[_OUTSIDE] = said
    elif st.session_state.get(_OUTSIDE) != said:
        st.rerun()
