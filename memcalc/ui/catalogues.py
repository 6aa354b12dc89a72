"""The lists behind the selectors: models, cards, and the GPUs of this machine, each read once and shared."""

from __future__ import annotations

from typing import Any

import streamlit as st

from memcalc.hardware import gpus, nvml
from memcalc.models import catalogue


@st.cache_data(show_spinner=False)
def models() -> list[str]:
    """Names of the model catalogue."""
    return list(catalogue.names())


@st.cache_data(show_spinner=False)
def longest(model: str | int) -> int | None:
    """The most tokens that a catalogue model has learned positions for; None where nothing ends there."""
    if isinstance(model, int):
        return None
    spec = catalogue.describe(model).spec
    return spec.max_positions if spec.learned_positions else None


@st.cache_data(show_spinner=False)
def cards() -> list[str]:
    """Names of the card catalogue."""
    return [gpu.name for gpu in gpus.catalogue()]


@st.cache_data(ttl=2, show_spinner=False)
def live() -> dict[str, Any]:
    """One shared sample of this machine's GPUs, at most two seconds old: ``{"driver", "gpus", "note"}``."""
    return nvml.read().as_json()
