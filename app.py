"""The dashboard: ``streamlit run app.py``.

This file is read twice. The server imports it and finds ``app``, which adds compression to Streamlit;
for each visitor Streamlit runs it as a script and arrives at ``main``. The pages are in ``pages/views``
and not in ``pages`` itself, where Streamlit would also find them on its own, without this file.
"""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from memcalc.ui import carry, navigation
from memcalc.ui.serve import lifespan, middleware


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="memcalc: will it fit?", page_icon="🧮", layout="wide")
    # What everybody comes for stays in sight (the section without a name); the rest is behind three headings, so
    # that the bar still fits a window of 1,000 pixels. A section without pages is not shown.
    sections = {
        "": [
            st.Page("pages/views/fit.py", title="Will it fit?", default=True),
            st.Page("pages/views/training.py", title="Training", url_path="training"),
            st.Page("pages/views/inference.py", title="Inference", url_path="inference"),
            st.Page("pages/views/images.py", title="Images", url_path="images"),
            st.Page("pages/views/vision.py", title="Vision", url_path="vision"),
            st.Page("pages/views/timeline.py", title="Timeline", url_path="timeline"),
            st.Page("pages/views/batch.py", title="Batch", url_path="batch"),
            st.Page("pages/views/compare.py", title="Compare", url_path="compare"),
        ],
        "Decide": [
            st.Page("pages/views/advise.py", title="Make it fit", url_path="advise"),
            st.Page("pages/views/sweep.py", title="Sweep", url_path="sweep"),
            st.Page("pages/views/cards.py", title="Cards", url_path="cards"),
            st.Page("pages/views/run.py", title="Whole run", url_path="run"),
        ],
        "Check": [  # against reality: live GPUs, accuracy
            st.Page("pages/views/gpus.py", title="Live GPUs", url_path="gpus"),
            st.Page("pages/views/accuracy.py", title="Accuracy", url_path="accuracy"),
        ],
        "Learn": [
            st.Page("pages/views/learn.py", title="Workshop", url_path="learn"),
            st.Page("pages/views/exercises.py", title="Exercises", url_path="exercises"),
            st.Page("pages/views/glossary.py", title="Glossary", url_path="glossary"),
        ],
    }
    pages = {heading: listed for heading, listed in sections.items() if listed}
    listed = [one for section in pages.values() for one in section]
    navigation.lost(listed)
    page = st.navigation(pages, position="top")
    navigation.follow(listed)
    carry.follow()
    navigation.missing(listed, page)
    with carry.over(page.url_path):
        page.run()
    navigation.phone(listed, page)


if __name__ == "__main__":
    main()
else:
    # A folder called pages makes Streamlit look for pages by itself until st.navigation has run once: the first
    # visitor of a new server would be told that the page of a link does not exist.
    PagesManager.uses_pages_directory = False
    app = st.App(__file__, middleware=middleware(), lifespan=lifespan)
