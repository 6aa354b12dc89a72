"""The page Vision: classifiers of pictures and denoisers, trained or run once, against one card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from memcalc.models.vision import MODELS
from memcalc.ui import bring, controls, form_controls, own_card, redraw
from memcalc.ui import vision_settings as known
from memcalc.ui.form import Json
from memcalc.ui.form_page import FormPage, Now
from memcalc.ui.ledger import Run

KEYS = ("vision", "gpu", *own_card.KEYS)


class Form(form_controls.Form):
    """The controls, of which the first is the model."""

    def model(self) -> None:
        """Model and card."""
        with st.container(gap="small", key="group-model"):
            names = list(MODELS)
            self.states["vision"] = st.selectbox(
                "Model", names, index=names.index(known.USUAL), key="vision", bind=form_controls.LINK,
                on_change=_follow, help="By their names in the library whose code is followed.",
            )  # fmt: skip
            self.card()


def _follow() -> None:
    """Another model: a side that is some model's usual one becomes this model's."""
    side = known.follow(str(st.session_state["vision"]), st.session_state.get("side"))
    if side is not None:
        st.session_state["side"] = side
    redraw.whole()


def scenario_of(states: Mapping[str, Any]) -> Json:
    """The scenario that the controls mean."""
    return known.scenario(str(states.get("vision")), form_controls.base(states).hardware(), states)


@dataclass(frozen=True)
class VisionPage(FormPage):
    """A form whose models see or denoise pictures."""

    def form(self) -> form_controls.Form:
        return Form(self.settings)

    def states(self) -> dict[str, Any]:
        keys = (*KEYS, *(one.key for one in self.settings))
        return {key: st.session_state[key] for key in keys if key in st.session_state}

    def allowed(self) -> dict[str, Any]:
        return {
            "vision": MODELS, "gpu": controls.card_choices(), "free": None, "reserve": None, "pins": None,
            **{one.key: one.allowed() for one in self.settings},
        }  # fmt: skip

    def take(self, task: str) -> bring.Take:
        return known.states_of

    def asks(self, scenario: Json, run: Run, now: Now) -> None:
        """The libraries' code is not installed beside the page: nothing is traced here."""

    def checked(self, scenario: Json, run: Run) -> None:
        """Nothing is traced here."""

    def offer(self, run: Run, scenario: Json, states: Mapping[str, Any]) -> None:
        """What would make it fit is shown at each control."""


PAGE = VisionPage(
    title="Vision",
    subject="The model",
    line="Models of pictures, trained or run once: ResNet, ConvNeXt, vision transformers; U-Net and DiT as denoisers.",
    groups=known.GROUPS,
    scenario_of=scenario_of,
    terms=("micro-batch", "activations", "optimizer states", "gradient checkpointing", "denoiser", "VAE and latents",
           "workspace", "reserved", "range", "GiB and GB", "16 GB card"),
)  # fmt: skip
