"""What a visitor has set, taken along to another page and through the browser's history.

The address holds every setting; Streamlit ties each to a control of one page. Left alone, it forgets on the way to
another page what both pages call the same, and puts the settings back one by one, each as an entry of the browser's
history: Back then leads to half a link. Here a change of pages keeps the whole link, so that the next page reads its
own settings from it; what that page has no control for leaves the link once the page is drawn, and stays with the
session. How many entries of the history this makes is ``history``'s part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import RerunData, RerunException, get_script_run_ctx
from streamlit.runtime.state.query_params import QueryParams
from streamlit.util import calc_hash

from memcalc.ui import history

_PAGE: Final = "_page"
_GO: Final = "_go"
_ARRIVED: Final = "_arrived"
"""The session's notes: the page shown last, the page to go to next, and whether the link is still to be tidied."""


@contextmanager
def over(page: str) -> Iterator[None]:
    """To be put around the drawing of the page of this name."""
    context = get_script_run_ctx()
    if context is None:
        yield
        return
    before = st.session_state.get(_PAGE)
    st.session_state[_PAGE] = page
    with context.session_state.query_params() as link:
        _keep_whole(link)
    if before is not None and before != page:
        # In the browser's history the address is whole already: to say it again would hit the entry that a visitor
        # who goes on quickly has reached meanwhile.
        st.session_state[_ARRIVED] = not context.is_history_navigation
        # Streamlit puts the values of the last page's controls away at the end of this run; until then, a control of
        # the same name would start with its usual value.
        context.session_state.on_script_finished(frozenset())
        _link_wins(link)
    with _unsaid(link) if st.session_state.get(_ARRIVED) else nullcontext():
        yield
    # Only a page that is drawn to its end has said which settings are its own.
    _leave_behind(link)


@contextmanager
def _unsaid(link: QueryParams) -> Iterator[None]:
    """Say nothing of the link to the browser: in a run that changes the page, what is said at its beginning can come
    before the page's new name, and would be written into the entry of the page that is left."""
    vars(link)["_send_query_param_msg"] = lambda: None
    try:
        yield
    finally:
        del vars(link)["_send_query_param_msg"]


def _keep_whole(link: QueryParams) -> None:
    """Have Streamlit read the whole link after a change of pages, not only what no control of the last page had."""
    if "populate_from_query_string" in vars(link):
        return  # this session's link knows it already
    read = link.populate_from_query_string

    def whole(query_string: str, valid_script_hashes: set[str] | None = None) -> None:
        if valid_script_hashes is not None:  # the page has changed: none of its controls is drawn yet
            link._bindings_by_param.clear()
            link._bindings_by_widget.clear()
        read(query_string)

    vars(link)["populate_from_query_string"] = whole


def _link_wins(link: QueryParams) -> None:
    """Forget what a control held where the link says something else. Streamlit would do so itself, but for a link that
    asks for the usual value."""
    for name in link:
        if name in st.session_state and text(st.session_state[name]) != link[name]:
            del st.session_state[name]


def _leave_behind(link: QueryParams) -> None:
    """Take out of the link what belongs to a control of another page."""
    others = [name for name in link if not link.is_bound(name) and carried(name)]
    for name in others:
        link.discard_param_no_forward_msg(name)
    if st.session_state.pop(_ARRIVED, False) or others:
        link._send_query_param_msg()


def page() -> str:
    """The name of the page that is shown, as its address has it."""
    return str(st.session_state.get(_PAGE, ""))


def carried(name: str) -> bool:
    """Whether a link's parameter is a setting that this visitor has made already, perhaps on another page."""
    return name in st.session_state


def text(state: Any) -> str:
    """A control's state as a link says it."""
    return str(state).lower() if isinstance(state, bool) else str(state)


def step() -> None:
    """Make what follows a new entry of the browser's history: Back then undoes a button that sets many settings."""
    context = get_script_run_ctx()
    if context is not None:
        history.enter(context)


def leave(page: str, **more: str) -> None:
    """Go to the page of this name in the next run, with all settings and ``more`` of them: for a button's callback."""
    st.session_state[_GO] = (page, more)


def follow() -> None:
    """Go where a button has led, before the page that is left draws anything."""
    if _GO in st.session_state:
        page, more = st.session_state.pop(_GO)
        go(page, more)


def go(page: str, more: Mapping[str, str] | None = None) -> None:
    """Go to the page of this name with all settings.

    ``st.switch_page`` would first write the new page's link beside the old page's name, into an entry of its own.
    """
    context = get_script_run_ctx()
    if context is None:
        return
    with context.session_state.query_params() as link:
        kept = {name: link.get_all(name) for name in link}
    raise RerunException(
        RerunData(
            query_string=urlencode({**kept, **(more or {})}, doseq=True),
            page_script_hash=calc_hash(page),  # as StreamlitPage has it
            cached_message_hashes=context.cached_message_hashes,
            context_info=context.context_info,
        )
    )
