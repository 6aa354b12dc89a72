"""The words of the trade behind small buttons, and all of them on a page."""

from __future__ import annotations

from html import escape

import streamlit as st

from memcalc.learn.glossary import ALL, TERMS, Term
from memcalc.ui import frame

#: What a page that shows training and inference together speaks of.
BOTH = ("activations", "optimizer states", "KV cache", "gradient checkpointing", "micro-batch", "workspace", "reserved",
        "GiB and GB", "16 GB card")  # fmt: skip


def said(term: Term) -> str:
    """A term as Markdown: what it means, and its formula in a line of its own."""
    return f"**{term.name}**: {term.sentence}" + (f"\n\n*{term.formula}*" if term.formula else "")


def row(terms: tuple[str, ...]) -> None:
    """A small button for each term; its explanation opens beside it."""
    with st.container(horizontal=True, gap="xsmall", key="glossary", vertical_alignment="center"):
        st.caption("What is …", width="content")
        for term in terms:
            with st.popover(term, type="tertiary", width="content"):
                st.markdown(said(TERMS[term]))
        st.page_link("pages/views/glossary.py", label="All terms")


def listing() -> str:
    """Every term in alphabetical order: an HTML list."""
    rows = "".join(_entry(one) for one in sorted(ALL, key=lambda one: one.name.casefold()))
    return f'<dl class="mc-glossary">{rows}</dl>'


def _entry(one: Term) -> str:
    formula = f'<p class="mc-formula">{escape(one.formula)}</p>' if one.formula else ""
    lesson = f'<a href="learn?lesson={one.lesson}">Lesson&nbsp;{one.lesson}</a>' if one.lesson else ""
    anchor = one.name.casefold().replace(" ", "-")
    return f'<dt id="{anchor}">{escape(one.name)}</dt><dd><p>{escape(one.sentence)} {lesson}</p>{formula}</dd>'


def show() -> None:
    """Draw the page."""
    frame.heading("Glossary", f"{len(ALL)} terms, each in one sentence and with its formula.")
    st.html(listing())
