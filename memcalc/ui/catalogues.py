"""The lists behind the selectors: models, cards, and the GPUs of this machine, each read once and shared."""

from __future__ import annotations

from typing import Final

import streamlit as st

from memcalc.hardware import gpus
from memcalc.hardware.calibration import Kept, load
from memcalc.hardware.machine import Machine
from memcalc.hardware.sampler import Sampler, View
from memcalc.models import catalogue

FIRST_LOOK: Final = 2.0  # seconds


@st.cache_data(show_spinner=False)
def models() -> list[str]:
    """Names of the model catalogue."""
    return list(catalogue.names())


@st.cache_data(show_spinner=False)
def longest(model: str | int) -> int | None:
    """The most tokens that a catalogue model has learned positions for; None where nothing ends there."""
    if isinstance(model, int):
        return None
    return catalogue.describe(model).spec.longest


@st.cache_data(show_spinner=False)
def cards() -> list[str]:
    """Names of the card catalogue."""
    return [gpu.name for gpu in gpus.catalogue()]


@st.cache_resource(show_spinner=False)
def sampler() -> Sampler:
    """The one sampler of this machine's GPUs, for all visitors."""
    return Sampler()


def live() -> View:
    """What the sampler saw last. Only the first visitor of a new server waits for it, and not long."""
    return sampler().view(FIRST_LOOK)


@st.cache_data(ttl=10, show_spinner=False)
def measured() -> Kept:
    """What was measured on this machine's GPUs, from its file."""
    return load()


def machine() -> Machine:
    """What estimates may know about this machine: the newest reading and what was measured."""
    return Machine(live().reading, measured().calibrations)
