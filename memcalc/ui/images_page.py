"""The page Images: a pipeline of text encoders, denoiser and VAE against one card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from memcalc.diffusion.code import code
from memcalc.ui import advice_view, bring, carry, decide, form_controls, images_more, redraw
from memcalc.ui import images_settings as known
from memcalc.ui.form import Json
from memcalc.ui.ledger import Run
from memcalc.ui.untraced_page import UntracedPage


class Form(form_controls.Form):
    """The controls, of which the first is the pipeline."""

    def model(self) -> None:
        """Pipeline and card."""
        with st.container(gap="small", key="group-model"):
            self.states["pipeline"] = st.selectbox(
                "Model", known.MODELS, key="pipeline", bind=form_controls.LINK, on_change=_follow,
                help="Published pipelines, with the text encoders and the VAE that they come with.",
            )  # fmt: skip
            self.card()


def _follow() -> None:
    """Another model: sizes and steps that are some model's usual ones become this model's."""
    held = {key: st.session_state.get(key) for key in ("wide", "high", "steps")}
    for key, state in known.follow(str(st.session_state["pipeline"]), held).items():
        st.session_state[key] = state
    redraw.whole()


def scenario_of(states: Mapping[str, Any]) -> Json:
    """The scenario that the controls mean."""
    hardware = form_controls.base(states).hardware()
    return known.scenario(str(states.get("pipeline")), hardware, states)


def apply(sets: Mapping[str, Any]) -> None:
    """Make a change with the controls."""
    carry.step()
    for key, state in known.effect(sets).items():
        st.session_state[key] = state


def below(scenario: Json, run: Run) -> None:
    """What would make it fit, the parts, and the code."""
    fit = run.estimate.get("fit")
    found, best = advice_view.advice(scenario, decide.machine(scenario))
    if fit and fit["verdict"] != "fits":
        advice_view.cheapest(best, apply, "images")
    title = "What would make it fit" if fit and fit["verdict"] != "fits" else "What would need less"
    place = st.expander(title, icon=":material/auto_fix_high:", key="images-advice", on_change="rerun",
                        expanded=bool(fit and fit["verdict"] != "fits"))  # fmt: skip
    if place.open:
        with place:
            advice_view.listed(found, apply, "images")
    st.html(images_more.parts_table(run))
    st.caption("The same with diffusers, ready to copy")
    st.code(code(scenario), language="python", wrap_lines=True)


@dataclass(frozen=True)
class ImagesPage(UntracedPage):
    """A form whose models are pipelines."""

    chosen = "pipeline"
    models = tuple(known.MODELS)

    def form(self) -> form_controls.Form:
        return Form(self.settings)

    def take(self, task: str) -> bring.Take:
        return known.states_of


PAGE = ImagesPage(
    title="Images",
    subject="Image generation",
    line="What it takes to make pictures: text encoders, denoiser and VAE take turns, and the fullest moment counts.",
    groups=known.GROUPS,
    scenario_of=scenario_of,
    terms=(
        "text encoder",
        "denoiser",
        "VAE and latents",
        "parameter",
        "quantisation",
        "workspace",
        "reserved",
        "range",
        "GiB and GB",
        "16 GB card",
    ),
    more=images_more.facts,
    below=below,
)
