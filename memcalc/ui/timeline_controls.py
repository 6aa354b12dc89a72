"""The first page's controls in compact form: the model and its load in a row, the rest behind two buttons.

The controls are the first page's own, with its names in links, so that a change of page keeps everything.
All of them are drawn on every page, in a closed popover too: a control that is not drawn loses its place
in the link.
"""

from __future__ import annotations

from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from memcalc.ui import controls, links, options, own_card, redraw
from memcalc.ui.controls import Controls
from memcalc.ui.options import HELP

_COLUMN: Final = 210  # pixels; four of them fit on a laptop


def show() -> Controls:
    """Draw all controls and return what they say."""
    return redraw.controls(_drawn)


def _drawn() -> Controls:
    drawn = Controls()
    values: dict[str, Any] = {}
    with st.grid(4, min_column_width=_COLUMN, gap="medium"):
        with drawn.group("model"):
            values |= controls._model()
        with drawn.group("card"):
            values["gpu"] = controls._select(
                "Card", list(controls.card_choices()), "gpu", usual=controls.USUAL_CARD, help=HELP["gpu"]
            )
            values |= own_card.show()
        with drawn.group("load"):
            values["batch"] = controls._ladder("Sequences at once (micro-batch)", options.BATCHES, 1, "batch")
            with _more("Training settings"), drawn.group("training"):
                values |= controls._training()
        with drawn.group("length"):
            values["seq"] = controls._tokens(values)
            with _more("Inference settings"), drawn.group("inference"):
                values["infer"] = controls._explained("Precision", options.INFERENCE_PRECISIONS, "infer")
                values["new"] = controls._new_tokens(values)
    # A word about a setting has the whole width, and is seen even if its button is closed.
    below = st.container(gap="small")
    drawn.places |= dict.fromkeys((*drawn.places, "training", "inference"), below)
    complaint = links.size_complaint(values.get("exact") or "")
    if complaint:
        drawn.complain("model", complaint)
    drawn.settings = controls.meaning(values)
    return drawn


def _more(title: str) -> DeltaGenerator:
    return st.popover(title, icon=":material/tune:", width="stretch", key=title.replace(" ", "-").lower())
