"""A form whose models are not those of the other pages' list: pipelines, and models of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import streamlit as st

from memcalc.ui import controls, own_card
from memcalc.ui.form import Json
from memcalc.ui.form_page import FormPage, Now
from memcalc.ui.ledger import Run


@dataclass(frozen=True)
class UntracedPage(FormPage):
    """``chosen``: the key of the control that names the model, and ``models`` what it offers. Real code is traced for
    language models only, and what would make it fit stands elsewhere on such a page."""

    chosen: ClassVar[str]
    models: ClassVar[tuple[str, ...]]

    def states(self) -> dict[str, Any]:
        keys = (self.chosen, "gpu", *own_card.KEYS, *(one.key for one in self.settings))
        return {key: st.session_state[key] for key in keys if key in st.session_state}

    def allowed(self) -> dict[str, Any]:
        return {
            self.chosen: self.models, "gpu": controls.card_choices(), "free": None, "reserve": None, "pins": None,
            **{one.key: one.allowed() for one in self.settings},
        }  # fmt: skip

    def asks(self, scenario: Json, run: Run, now: Now) -> None:
        """Nothing is traced here."""

    def checked(self, scenario: Json, run: Run) -> None:
        """Nothing is traced here."""

    def offer(self, run: Run, scenario: Json, states: Mapping[str, Any]) -> None:
        """It is shown at each control, or below the answer."""
