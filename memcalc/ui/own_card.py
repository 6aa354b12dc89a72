"""A card far from the server: its free memory typed or read off a pasted nvidia-smi, and what is to stay free."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from memcalc import units
from memcalc.errors import HardwareError
from memcalc.hardware import smi
from memcalc.hardware.smi import Pasted
from memcalc.ui import carry, redraw
from memcalc.ui.words import plain

LINK: Final = "query-params"
KEYS = ("free", "reserve")
_TEXT = "smi"


def size_of(text: object) -> int | None:
    """What a field says, in bytes; None for nothing, or for what cannot be read (``complaint`` says why)."""
    try:
        return units.parse_bytes(str(text)) if str(text or "").strip() else None
    except ValueError:
        return None


def complaint(text: object) -> str:
    """Why a size cannot be read, or an empty string."""
    try:
        units.parse_bytes(str(text)) if str(text or "").strip() else None
    except ValueError as error:
        return str(error)
    return ""


def show() -> dict[str, Any]:
    """The button with both fields; their texts are returned. A word about what cannot be read stands below it."""
    held = {key: str(st.session_state.get(key) or "") for key in KEYS}
    place = st.popover(_label(held), icon=":material/memory:", key="own-card", on_change=redraw.whole,
                       width="stretch")  # fmt: skip
    with place:
        values = {
            "free": st.text_input(
                "Free on the card now", key="free", bind=LINK, max_chars=24, placeholder="11.2 GiB",
                on_change=redraw.whole,
                help="In place of the whole card: what nvidia-smi shows as free, for a card that others use too.",
            ),
            "reserve": st.text_input(
                "To stay free", key="reserve", bind=LINK, max_chars=24, placeholder="0 GiB",
                on_change=redraw.whole,
                help="For the desktop on the same card, or for another process.",
            ),
        }  # fmt: skip
        if place.open:
            _paste()
    for key, name in (("free", "Free memory"), ("reserve", "To stay free")):
        why = complaint(values[key])
        if why:
            st.warning(plain(f"{name}: {why}"), icon=":material/info:")
    return values


def _label(held: dict[str, str]) -> str:
    """What the button says: what was given, if it can be read."""
    free, reserve = size_of(held["free"]), size_of(held["reserve"])
    said = [f"{units.binary(free)} free"] if free is not None else []
    said += [f"{units.binary(reserve)} kept free"] if reserve else []
    return ", ".join(said) or "Free memory, reserve"


def _paste() -> None:
    """The field for nvidia-smi's output, and its cards."""
    text = st.text_area(
        "… or paste what nvidia-smi prints", key=_TEXT, height=120, max_chars=smi.LARGEST,
        on_change=redraw.whole,
        help="The table, nvidia-smi -q, or --query-gpu=name,memory.total,memory.free --format=csv.",
    )  # fmt: skip
    if not str(text or "").strip():
        return
    try:
        cards = smi.parse(str(text))
    except HardwareError as error:
        st.warning(plain(error.message), icon=":material/info:")
        return
    for number, card in enumerate(cards):
        named = f"GPU {card.device}" if card.name == f"GPU {card.device}" else f"GPU {card.device}: {card.name}"
        st.button(
            plain(f"{named}, {units.binary(card.free)} free"),
            key=f"smi-{number}", on_click=_take, args=(card,), width="stretch", help=plain(card.note) or None,
        )  # fmt: skip


def _take(card: Pasted) -> None:
    """Judge against that card from now on."""
    from memcalc.ui.controls import card_choices

    carry.step()
    st.session_state["free"] = f"{card.free // units.MiB} MiB"
    label = next((label for label, value in card_choices().items() if value == card.card), None)
    st.session_state["gpu"] = label if card.card and label else "No card"
    redraw.whole()
