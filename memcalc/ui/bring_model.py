"""Bring a model: one that the catalogue lacks, looked up on the Hub or by its config.json.

The Hub is asked when a button is pressed that says so, and at no other time: the wish is noted by the button, and
taken out of the session before it is fulfilled; what is found is shown from the next run on, whose controls it sets.
Whatever goes wrong is said beside the field, and nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import streamlit as st

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.models import config, describe, portable
from memcalc.models.files import hub
from memcalc.scenario.paths import Json
from memcalc.ui import brought, own_models, redraw
from memcalc.ui.words import plain

LARGEST: Final = 1 * units.MiB
"""Bytes of a config.json from a visitor: published ones have up to some 200 KiB."""
_PLACE: Final = "bring-model"
_WISH, _FOUND, _SAID = "_bring_wish", "_bring_found", "_bring_said"
_PAGE = re.compile(
    r"https?://[^/\s]+/(?P<repository>[^/\s]+/[^/\s]+?)(/(tree|blob|resolve)/(?P<revision>[^/\s]+)(/(?P<file>[^\s?#]+))?)?/?([?#]\S*)?"
)
Take = Callable[[Any], str]
"""What a page does with a brought model, or with a catalogue's name; what to say about it."""


def place_of(text: str) -> str:
    """``org/name`` or ``org/name:file`` from what a person may type or paste.

    >>> place_of(" https://huggingface.co/org/name/blob/main/q4.gguf "), place_of("org/name/")
    ('org/name@main:q4.gguf', 'org/name')
    """
    text = text.strip().rstrip("/")
    found = _PAGE.fullmatch(text)
    if found is None:
        return text
    revision = f"@{found['revision']}" if found["revision"] else ""
    file = found["file"] if (found["file"] or "").endswith(".gguf") else None
    return found["repository"] + revision + (f":{file}" if file else "")


def look_up(place: str) -> Any:
    """The model at a place of the Hub, by its config.json or the header of its GGUF file; MemcalcError in words."""
    model = portable.carried({"gguf" if ":" in place else "hub": place}, allow_files=False)
    describe(model, False)
    return model


def of_text(data: bytes, called: str = "", file: str = "") -> Json:
    """The model of a config.json from a stranger; MemcalcError in words."""
    if len(data) > LARGEST:
        raise MemcalcError(f"it is larger than {units.binary(LARGEST)}")
    try:
        parsed = config.parsed(data.decode("utf-8-sig"), "it", "model.config")
    except UnicodeDecodeError:
        raise MemcalcError("it is not text in UTF-8") from None
    if "config" in parsed and "model_type" not in parsed:
        raise MemcalcError("it is not a config.json; a scenario is brought with “Bring a scenario”")
    try:
        return dict(portable.carried({"config": parsed, "name": called.strip() or _name(parsed, file)}))
    except (ArithmeticError, RecursionError, TypeError):
        raise MemcalcError("its numbers cannot be used") from None


def _name(parsed: Json, file: str) -> str | None:
    """What to call a model: as its configuration does, or its file."""
    own = parsed.get("_name_or_path")
    last = own.rstrip("/").rpartition("/")[2] if isinstance(own, str) else ""
    for one in (last, re.sub(r"[._-]?config$", "", file.removesuffix(".json"), flags=re.IGNORECASE)):
        kept = re.sub(r"[^\w .()+-]", "", one)[: portable.LONGEST_NAME].strip()
        if kept:
            return kept
    return None


def usual(model: Any) -> str:
    """On a page with a list of models: show it there."""
    if isinstance(model, str):
        brought.choose(model)
        return f"{model} is in the catalogue, which has a copy of its configuration: the Hub was not asked."
    label = brought.take(model)
    return f"{label} is shown. It is in the list of models of every page."


def settle(take: Take = usual) -> None:
    """Take what was found in the run before; to be called before any control that this sets is drawn."""
    if _FOUND in st.session_state:
        model = st.session_state.pop(_FOUND)
        _try("hub", lambda: model, take)


def _try(field: str, make: Callable[[], Any], take: Take) -> None:
    """Take what is made; or keep what was wrong, to be said beside the field."""
    said = st.session_state.setdefault(_SAID, {})
    said.clear()
    try:
        words = take(make())
    except ValueError as error:
        said[field] = getattr(error, "message", str(error))
        return
    st.session_state[_PLACE] = False
    st.toast(plain(words), icon=":material/check:")


def button(take: Take = usual) -> None:
    """The button behind which a model can be brought."""
    place = st.popover("Bring a model", icon=":material/add_circle:", key=_PLACE, on_change=redraw.whole)
    if not place.open:
        return
    with place:
        _hub()
        _file(take)
        _list()


def _hub() -> None:
    with st.form("bring-hub-form", border=False):
        st.text_input(
            "Name on the Hugging Face Hub", key="bring-hub", max_chars=320, persist_state="session",
            placeholder="org/name, or org/name:file.gguf",
            help="Only its config.json is read, or the header of the GGUF file: no weights, and no code. The server "
            "that shows this page asks, without any account.",
        )  # fmt: skip
        st.form_submit_button("Look it up (uses the network)", icon=":material/travel_explore:", on_click=_wish)
    if _WISH in st.session_state:
        place = st.session_state.pop(_WISH)
        with st.spinner(plain(f"Asking {hub.host()} for {place} …")):
            try:
                st.session_state[_FOUND] = look_up(place)
            except MemcalcError as error:
                st.session_state[_SAID] = {"hub": error.message}
        if _FOUND in st.session_state:
            st.rerun()
    _complain("hub")


def _wish() -> None:
    st.session_state[_WISH] = place_of(str(st.session_state.get("bring-hub") or ""))
    st.session_state.pop(_SAID, None)
    redraw.whole()


def _file(take: Take) -> None:
    st.file_uploader(
        "… or its config.json", type="json", key="bring-file", max_upload_size=1, on_change=_uploaded, args=(take,),
        help="The file beside the weights. It stays in this browser's link and this session.",
    )  # fmt: skip
    _complain("file")
    with st.form("bring-text-form", border=False):
        st.text_area("… or its text", key="bring-text", height=100, persist_state="session",
                     placeholder='{"model_type": "llama", …}')  # fmt: skip
        st.text_input("Call it", key="bring-name", max_chars=portable.LONGEST_NAME, persist_state="session",
                      placeholder="as the file does")  # fmt: skip
        st.form_submit_button("Take this text", icon=":material/content_paste:", on_click=_pasted, args=(take,))
    _complain("text")


def _uploaded(take: Take) -> None:
    file = st.session_state.get("bring-file")
    if file is None:
        st.session_state.get(_SAID, {}).pop("file", None)
    else:
        _try("file", lambda: of_text(file.getvalue(), file=str(file.name)), take)
    redraw.whole()


def _pasted(take: Take) -> None:
    text, called = (str(st.session_state.get(key) or "") for key in ("bring-text", "bring-name"))
    _try("text", lambda: of_text(text.encode("utf-8", "replace"), called), take)
    redraw.whole()


def _complain(field: str) -> None:
    said = st.session_state.get(_SAID, {}).get(field)
    if said:
        st.warning(plain(f"Not taken: {said}"), icon=":material/info:")


def _list() -> None:
    """What was brought before, each with a button that takes it out."""
    own = brought.held()
    if not own:
        return
    st.caption(f"Brought, up to {own_models.MOST}:")
    for number, one in enumerate(own):
        st.button(plain(one.label), key=f"unbring-{number}", icon=":material/close:", on_click=_remove,
                  args=(one.label,), help="Take it out of the list")  # fmt: skip


def _remove(label: str) -> None:
    brought.remove(label)
    redraw.whole()
