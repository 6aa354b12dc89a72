"""Settings drawn as controls, each with a line below it about what it would change. Bound to the address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from memcalc.errors import MemcalcError
from memcalc.ui import controls, links, options, own_card, own_models, redraw
from memcalc.ui.effects import Change, changes
from memcalc.ui.form import FOLDED, Json, Setting, get, set_in
from memcalc.ui.options import HELP
from memcalc.ui.words import plain

LINK: Final = "query-params"
#: Where a session keeps each page's last lines of effects, by setting.
_EFFECTS: Final = "_effects"
ScenarioOf = Callable[[Mapping[str, Any]], Json]
MODEL_KEYS = ("source", "model", "size", "exact", "gpu", *own_card.KEYS)


def style() -> None:
    """The style sheet of the pages that are forms."""
    st.html(f"<style>{(files('memcalc.ui') / 'assets' / 'forms.css').read_text(encoding='utf-8')}</style>")


@dataclass
class Form:
    """The controls of one page while they are drawn, and a place below each for a word about it."""

    settings: tuple[Setting, ...]
    states: dict[str, Any] = field(default_factory=dict)
    lines: list[tuple[Setting, DeltaGenerator]] = field(default_factory=list)
    places: dict[str, DeltaGenerator] = field(default_factory=dict)

    def model(self) -> None:
        """Model and card, as on the first page."""
        with st.container(gap="small", key="group-model"):
            self.states |= controls._model()
            complaint = links.size_complaint(self.states.get("exact") or "")
            if complaint:
                st.warning(plain(complaint), icon=":material/info:")
            self.card()

    def card(self) -> None:
        """The card, and a place for a word about it or the model."""
        labels = list(controls.card_choices())
        self.states["gpu"] = st.selectbox(
            "Card",
            labels,
            index=labels.index(controls.USUAL_CARD),
            key="gpu",
            bind=LINK,
            help=HELP["gpu"],
            on_change=redraw.answer,
        )
        self.states |= own_card.show()
        self.places["model"] = st.container()

    def group(self, title: str, settings: tuple[Setting, ...], scenario_of: ScenarioOf) -> None:
        """One group of settings: those that the core supports and that mean something beside the others."""
        folded = title in FOLDED
        if not folded:
            st.markdown(f"**{title}**")
        with _fold(title, settings) if folded else st.container(gap="medium", key=f"group-{settings[0].key}"):
            for setting in settings:
                if setting.supported() and setting.applies(scenario_of(self.states)):
                    place = st.container(gap="xxsmall")  # its lines follow in it, once there is an answer
                    with place:
                        self.states[setting.key] = draw(setting)
                    self.lines.append((setting, place))
        said = set_in(tuple(one for one, _ in self.lines if one in settings), self.states) if folded else ""
        if said:
            st.caption(plain(f"Set there: {said}."))

    def effects(self, page: str, scenario: Json, fresh: bool) -> None:
        """Below each control: what it is, and what its other values would change. Where the settings have not rested
        (``fresh`` is False), what they would have changed before: nothing on the page moves meanwhile."""
        held: dict[str, dict[str, str]] = st.session_state.setdefault(_EFFECTS, {})
        if fresh:
            held[page] = {setting.key: line(setting, changes(setting, scenario)) for setting, _ in self.lines}
        for setting, place in self.lines:
            said = held.get(page, {}).get(setting.key) or line(setting, [])
            place.html(said)

    def remark(self, scenario: Json, states: Mapping[str, Any], error: MemcalcError | None) -> None:
        """Say at the control concerned where a model has no positions for as many tokens as were chosen, and what the
        core refused. In a part of the page that is drawn alone, have the page drawn where that differs, or where
        another setting has a meaning now."""
        said = []
        for setting, _ in self.lines:
            taken = get(scenario, setting.path)
            if setting.carried and taken != states.get(setting.key):
                chosen = base(states)
                said.append(
                    (setting.key, f"{chosen.model} can read {chosen.longest:,} tokens at most: {taken:,} are taken.")
                )
        model = scenario.get("model")
        if own_models.used(model) and (scenario["task"] == "infer" or own_models.sees(model)):
            said.append(("model", f"{own_models.name(model)} {own_models.used(model)}"))
        if own_models.heard(model):
            said.append(("model", f"{own_models.name(model)} {own_models.heard(model)}"))
        if error is not None:
            key = next((one.key for one, _ in self.lines if _concerns(one.path, error.field)), "model")
            said.append((key, error.message))
        redraw.outside((said, [one.key for one in self.settings if one.supported() and one.applies(scenario)]))
        if not redraw.alone():
            places = {**self.places, **{setting.key: place for setting, place in self.lines}}
            for key, message in said:
                places[key].warning(plain(message), icon=":material/info:")


def _fold(title: str, settings: tuple[Setting, ...]) -> DeltaGenerator:
    """A folded group. Its controls are drawn all the same (one that is not loses its place in the link), and it is
    open where something in it is not as usual."""
    held = {one.key: st.session_state[one.key] for one in settings if one.key in st.session_state}
    used = bool(set_in(settings, held)) or any(one.key in st.query_params for one in settings if one.key not in held)
    return st.expander(title, expanded=used, icon=":material/tune:")


def _concerns(path: str, field_name: str) -> bool:
    return bool(field_name) and (path == field_name or path.startswith(field_name + "."))


def draw(setting: Setting) -> Any:
    """One control; its state is returned."""
    name = setting.key
    more: dict[str, Any] = {"key": name, "bind": LINK, "help": _help(setting), "on_change": redraw.answer}
    if setting.kind == "switch":
        return st.toggle(setting.label, wrap=True, **more)
    if setting.kind == "ladder":
        return st.select_slider(setting.label, setting.rungs, value=setting.usual, **more)
    names = [setting.name(value) for value in setting.values()]
    usual = setting.name(setting.usual)
    if setting.kind == "few":
        return st.segmented_control(setting.label, names, default=usual, required=True, **more)
    return st.selectbox(setting.label, names, index=names.index(usual) if usual in names else 0, **more)


def _help(setting: Setting) -> str | None:
    """What each value means; a setting without such lines is explained below itself."""
    known = {setting.name(value): setting.lines[value] for value in setting.values() if setting.lines.get(value)}
    return "\n".join(f"- **{plain(name)}**: {text}" for name, text in known.items()) or None


def line(setting: Setting, found: list[Change]) -> str:
    """One line of help, then what would change: as HTML, with nothing from outside in it unescaped."""
    same = [one for one in found if one.words == "no change" and not one.aside]
    chips = [_chip(one.name, one) for one in found if one not in same]
    if same:
        chips.append(_chip(", ".join(one.name for one in same), same[0]))
    return f'<p class="mc-line">{escape(setting.help)}</p><p class="mc-line mc-changes">{"".join(chips)}</p>'


def _chip(name: str, one: Change) -> str:
    size = one.there if one.aside else one.bytes or 0
    tone = "" if one.words == "no change" and not one.aside else "mc-less" if size < 0 else "mc-more" if size else ""
    said = f"{one.aside}</b>, peak as it is" if one.aside else f"{escape(one.words)}</b>"
    return f'<span class="mc-change" title="{escape(one.hover)}">{escape(name)}: <b class="{tone}">{said}</span>'


def current(settings: tuple[Setting, ...]) -> dict[str, Any]:
    """The controls' states once they are drawn, or in a part of the page that is drawn again without them."""
    keys = (*MODEL_KEYS, *(one.key for one in settings))
    return {key: st.session_state[key] for key in keys if key in st.session_state}


def allowed(settings: tuple[Setting, ...]) -> dict[str, Any]:
    """What a link to the page may say."""
    return {
        "source": controls.SOURCES,
        "model": controls.model_choices(),
        own_models.KEY: None,
        "size": [options.ladder(size) for size in options.SIZES],
        "exact": None,
        "gpu": controls.card_choices(),
        "free": None,
        "reserve": None,
        "pins": None,
        **{one.key: one.allowed() for one in settings},
    }


def base(states: Mapping[str, Any]) -> Any:
    """The first page's settings with these states, its usual values for the rest."""
    return controls.meaning({key: states.get(key) for key in controls.KEYS})
