"""A way past Plotly's validation for figures that are known to be right."""

from __future__ import annotations

from typing import Any

from plotly.basedatatypes import BaseFigure


class PlainFigure(BaseFigure):
    """A figure that is already a dictionary, handed to Streamlit as it is.

    Streamlit passes a dictionary through ``plotly.graph_objects``, which checks every property of every
    label: more processor time than all of memcalc's work for a page. The dictionaries of ``figures`` are
    checked once, by a test, instead of at each movement of a slider.
    """

    def __init__(self, figure: dict[str, Any]) -> None:
        object.__setattr__(self, "_plain", figure)

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = object.__getattribute__(self, "_plain")
        return plain
