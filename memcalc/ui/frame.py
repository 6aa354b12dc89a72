"""What every page shares: the heading, and a word about links that were not understood."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

from memcalc.ui import links
from memcalc.ui.words import plain

#: The few rules that Streamlit's own theme has no setting for. Only classes named after our own keys.
_STYLE = """<style>
.st-key-phases .annotation-text, .st-key-phases .xtick text, .st-key-phases .xtitle { fill: currentColor !important; }
.st-key-phases .shapelayer path { stroke: currentColor !important; }
.st-key-verdicts h3 { padding: 0 0 .6rem; }
[data-testid="stCaptionContainer"] { opacity: .85; color: inherit; }
@media (max-width: 640px) {
  [data-testid="stLayoutWrapper"]:has(> .st-key-verdicts) {
    position: sticky; top: 3.2rem; z-index: 50; padding: .4rem 0;
    background: light-dark(#FFFFFF, #0E1319);
  }
  .st-key-verdicts [data-testid="stCaptionContainer"] { display: none; }
}
</style>"""


def heading(title: str, line: str) -> None:
    """The page's title and its one line of explanation."""
    st.title(title, anchor=False)
    st.caption(line)
    st.html(_STYLE)


def link_notes(given: Mapping[str, str], allowed: Mapping[str, Collection[str] | None], settings: object) -> None:
    """Say which parts of the link were ignored, until the visitor changes something.

    ``given`` are the address's parameters as they were before any control was drawn: Streamlit removes
    the ones that it cannot use.
    """
    said = links.complaints(given, allowed)
    known, at = st.session_state.get("_link_notes", ([], None))
    if any(line not in known for line in said):
        known, at = st.session_state["_link_notes"] = (said, settings)
    if known and at == settings:
        st.info(plain(" ".join(known)), title="Parts of this link were ignored", icon=":material/link_off:")
