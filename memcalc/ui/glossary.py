"""The words of the trade behind small buttons, and all of them on a page."""

from __future__ import annotations

from html import escape

import streamlit as st

from memcalc.learn.glossary import ALL, TERMS, Term
from memcalc.ui import frame

#: What a page that shows training and inference together speaks of.
BOTH = ("activations", "optimizer states", "KV cache", "gradient checkpointing", "micro-batch", "workspace", "reserved",
        "GiB and GB", "16 GB card")  # fmt: skip


def row(terms: tuple[str, ...]) -> None:
    """A small button for each term; its explanation opens beside it."""
    with st.container(horizontal=True, gap="small", key="glossary", vertical_alignment="center"):
        st.html(buttons(terms), width="content")
        st.page_link("pages/views/glossary.py", label="All terms")


def buttons(terms: tuple[str, ...]) -> str:
    """The row as HTML: the browser opens and closes what it explains. A dozen of Streamlit's own buttons, each with a
    box behind it, would cost every movement of a slider more than the controls do."""
    return f'<div class="mc-terms"><span>What is …</span>{"".join(_button(TERMS[term]) for term in terms)}</div>'


def _button(term: Term) -> str:
    place = f"about-{_anchor(term)}"
    return (
        f'<span><button type="button" popovertarget="{place}">{escape(term.name)}</button>'
        f'<div popover="auto" id="{place}">{said(term)}</div></span>'
    )


def said(term: Term) -> str:
    """A term as HTML: what it means, and its formula in a line of its own."""
    return f"<p><b>{escape(term.name)}</b>: {escape(term.sentence)}</p>{_formula(term)}"


def _formula(term: Term) -> str:
    return f'<p class="mc-formula">{escape(term.formula)}</p>' if term.formula else ""


def _anchor(term: Term) -> str:
    return term.name.casefold().replace(" ", "-")


def listing() -> str:
    """Every term in alphabetical order: an HTML list."""
    rows = "".join(_entry(one) for one in sorted(ALL, key=lambda one: one.name.casefold()))
    return f'<dl class="mc-glossary">{rows}</dl>'


def _entry(one: Term) -> str:
    lesson = f'<a href="learn?lesson={one.lesson}">Lesson&nbsp;{one.lesson}</a>' if one.lesson else ""
    return (
        f'<dt id="{_anchor(one)}">{escape(one.name)}</dt><dd><p>{escape(one.sentence)} {lesson}</p>{_formula(one)}</dd>'
    )


def show() -> None:
    """Draw the page."""
    frame.heading("Glossary", f"{len(ALL)} terms, each in one sentence and with its formula.")
    st.html(listing())
