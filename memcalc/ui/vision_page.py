"""The page Vision: classifiers of pictures and denoisers, trained or run once, against one card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from memcalc.models.vision import MODELS
from memcalc.ui import bring, form_controls, redraw
from memcalc.ui import vision_settings as known
from memcalc.ui.form import Json
from memcalc.ui.untraced_page import UntracedPage


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
class VisionPage(UntracedPage):
    """A form whose models see or denoise pictures."""

    chosen = "vision"
    models = tuple(MODELS)

    def form(self) -> form_controls.Form:
        return Form(self.settings)

    def take(self, task: str) -> bring.Take:
        return known.states_of


PAGE = VisionPage(
    title="Vision",
    subject="The model",
    line="Models of pictures, trained or run once: ResNet, ConvNeXt, vision transformers; U-Net and DiT as denoisers.",
    groups=known.GROUPS,
    scenario_of=scenario_of,
    terms=("micro-batch", "activations", "optimizer states", "gradient checkpointing", "denoiser", "VAE and latents",
           "workspace", "reserved", "range", "GiB and GB", "16 GB card"),
)  # fmt: skip
