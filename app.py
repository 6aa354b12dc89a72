"""The dashboard: ``streamlit run app.py``.

This file is read twice. The server imports it and finds ``app``, which adds compression to Streamlit;
for each visitor Streamlit runs it as a script and arrives at ``main``. The pages are in ``pages/views``
and not in ``pages`` itself, where Streamlit would also find them on its own, without this file.
"""

from __future__ import annotations

import streamlit as st

from memcalc.ui.serve import lifespan, middleware


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="memcalc: will it fit?", page_icon="🧮", layout="wide")
    page = st.navigation([st.Page("pages/views/fit.py", title="Will it fit?", default=True)], position="hidden")
    page.run()


if __name__ == "__main__":
    main()
else:
    app = st.App(__file__, middleware=middleware(), lifespan=lifespan)
