"""A scenario brought back from a file: read with distrust, then put into the page's controls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import streamlit as st

from memcalc import units
from memcalc.diffusion import is_pipeline
from memcalc.models import vision
from memcalc.scenario import Scenario
from memcalc.ui import brought, carry, controls, decide, own_models, pins
from memcalc.ui.form import Json, Setting, get
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

LARGEST = 64 * units.KiB
"""Bytes of an uploaded scenario: a real one has less than one KiB."""
_NOTE: Final = "_upload"
_NO_SETTINGS: Final = frozenset({"model", "task", "hardware"})

Taken = tuple[dict[str, Any], list[str]]
"""The states of a page's controls, and the scenario's fields that they cannot say."""
Take = Callable[[Json], Taken]
"""What a page makes of a scenario; ValueError with a sentence where it is not the page for it."""


def read(data: bytes) -> Any:
    """An uploaded file as JSON, or ValueError with a sentence."""
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {units.binary(LARGEST)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    return pins.loads(text, LARGEST)


def one(found: Any) -> Json:
    """The scenario in a file, or ValueError with a sentence."""
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, list) and found:
        raise ValueError(f"it holds {len(found)} scenarios: bring it to the page Compare")
    return pins.check(found)


def task_of(scenario: Json) -> str:
    """``train`` or ``infer``."""
    return str(scenario.get("task", "infer"))


def form(settings: tuple[Setting, ...], task: str) -> Take:
    """For a page with every setting of one task."""

    def take(scenario: Json) -> Taken:
        if task_of(scenario) != task:
            raise ValueError(f"it belongs on the page {'Inference' if task == 'train' else 'Training'}")
        return states_of(scenario, settings)

    return take


def states_of(scenario: Json, settings: tuple[Setting, ...]) -> Taken:
    """The states of a form's controls."""
    states, missing = _machine(scenario)
    for setting in settings:
        value = get(scenario, setting.path)
        state = setting.state(setting.usual if value is None else value)
        if (
            state is None
            and value is not None
            and not any(other.path == setting.path and other.state(value) is not None for other in settings)
        ):  # two controls may share a field: a switch, and a choice of what it means
            missing.append(setting.path)
        states[setting.key] = setting.state(setting.usual) if state is None else state
    known = {setting.path for setting in settings}
    return states, [*missing, *(path for path, _ in _beyond(scenario) if path not in known)]


def first_page(scenario: Json) -> Taken:
    """The states of the first page's controls; those of the other task stay as they are."""
    states, missing = _settings(scenario)
    return states, [*missing, *(path for path, value in _beyond(scenario) if not _shown(scenario, path, value))]


def training_only(scenario: Json) -> Taken:
    """For a page about a training."""
    if task_of(scenario) != "train":
        raise ValueError("this page is about training, and it describes inference")
    return first_page(scenario)


def with_changes(scenario: Json) -> Taken:
    """For a page that keeps what the first page's controls cannot say as changes beside them."""
    task = task_of(scenario)
    states, missing = _settings(scenario)
    left = {path: value for path, value in _beyond(scenario) if not _shown(scenario, path, value)}
    changes = decide.clean(left)
    states |= {"task": next(title for title, name in decide.TASKS.items() if name == task)}
    states[decide.ALSO] = decide.write({**decide.read(st.session_state.get(decide.ALSO)), task: changes})
    return states, [*missing, *(path for path in left if path not in changes)]


def _machine(scenario: Json) -> Taken:
    """Model and card, which every page has."""
    if is_pipeline(scenario):
        raise ValueError("it describes an image pipeline: bring it to the page Images")
    model = scenario["model"]
    if vision.is_vision(model):
        raise ValueError("it describes a model of pictures: bring it to the page Vision")
    states: dict[str, Any] = {"source": controls.SOURCES[0], "model": model}
    if own_models.is_own(model):
        states = brought.states(model)
    elif not isinstance(model, str):
        states = {"source": controls.SOURCES[1], "exact": str(round(model["parameters"]))}
    card, missing = card_states(scenario)
    return {**states, **card}, missing


def card_states(scenario: Json) -> Taken:
    """The card, and what is free on it."""
    states: dict[str, Any] = {}
    missing = []
    gpu = get(scenario, "hardware.gpu")
    label = next((name for name, value in controls.card_choices().items() if value == gpu), None)
    if label is None:
        missing.append("hardware.gpu")
    states["gpu"] = label or controls.USUAL_CARD
    for key in ("free", "reserve"):
        size = get(scenario, f"hardware.{key}")
        states[key] = f"{size} B" if size else ""
    return states, missing


def _settings(scenario: Json) -> Taken:
    """Model, card, and every control of the first page that belongs to the scenario's task."""
    states, missing = _machine(scenario)
    task = task_of(scenario)
    usual_settings = Settings().training() if task == "train" else Settings().inference()
    for path, usual in _leaves(usual_settings, "", _NO_SETTINGS):
        value = get(scenario, path)
        state = decide.control_state(task, path, usual if value is None else value)
        key, held = state or decide.control_state(task, path, usual) or ("", None)
        states[key] = held
    return states, missing


def _shown(scenario: Json, path: str, value: Any) -> bool:
    return decide.control_state(task_of(scenario), path, value) is not None


def _beyond(scenario: Json) -> Iterator[tuple[str, Any]]:
    """The fields besides model and card that are not as usual, and their values."""
    task = task_of(scenario)
    usual = Scenario.read({"model": scenario["model"], "task": task}).as_dict()
    skipped = _NO_SETTINGS | {"inference" if task == "train" else "training"}
    yield from ((path, value) for path, value in _leaves(scenario, "", skipped) if value != get(usual, path))


def _leaves(fields: Mapping[str, Any], at: str, skipped: frozenset[str]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        path = f"{at}.{name}" if at else name
        if path in skipped or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, path, skipped)
        else:
            yield path, value


def _given() -> tuple[str, bytes] | None:
    """The uploaded file's name, fit to be shown, and its bytes; None where it was taken away, and the word about it
    with it."""
    file = st.session_state.get("upload")
    if file is None:
        st.session_state.pop(_NOTE, None)
        return None
    return _name(file.name), file.getvalue()


def _put(take: Take) -> None:
    """Put an uploaded scenario into the controls; whatever is wrong with it is said, and nothing is lost."""
    given = _given()
    if given is None:
        return
    name, data = given
    try:
        states, missing = take(one(read(data)))
    except ValueError as error:
        said = f"{name} was not taken over: {error}. Your settings are as they were."
        st.session_state[_NOTE] = ("bad", said, None)
        return
    carry.step()
    for key, state in states.items():
        st.session_state[key] = state
    said = f"The settings of {name} are shown."
    if missing:
        said += f" This page has no such value for {', '.join(missing)}: the usual one is shown."
    st.session_state[_NOTE] = ("good", said, None)


def _pin() -> None:
    """Pin what a file holds: one scenario or several."""
    given = _given()
    if given is None:
        return
    name, data = given
    try:
        found = read(data)
        found = found if isinstance(found, list) and found else [found]
        room = pins.MOST - len(pins.pinned()[0])
        pins.add(*[pins.check(scenario) for scenario in found[: 2 * pins.MOST]])
    except ValueError as error:
        st.session_state[_NOTE] = ("bad", f"{name} was not pinned: {error}.", None)
        return
    more = f" There was room for {room} of its {len(found)} scenarios." if len(found) > room else ""
    st.session_state[_NOTE] = ("good", f"{name} is pinned.{more}", None)


def _name(name: object) -> str:
    """A file's name without what could be more than a name."""
    kept = re.sub(r"[^\w .-]", "", str(name))[:60].strip()
    return f"“{kept}”" if kept else "The file"


def button(take: Take | None) -> None:
    """The button behind which a scenario can be brought back; without ``take`` it is pinned."""
    place = st.popover("Bring a scenario", icon=":material/upload:", key="import", on_change="rerun")
    if place.open:
        place.file_uploader(
            "A scenario as JSON", type="json", key="upload", max_upload_size=1,
            on_change=_pin if take is None else _put, args=() if take is None else (take,),
            help="A file saved here with “Scenario, JSON”, or written by hand.",
        )  # fmt: skip


def note(settings: object) -> bool:
    """What came of the last upload, until the visitor changes something; whether anything is said."""
    if _NOTE not in st.session_state:
        return False
    kind, said, at = st.session_state[_NOTE]
    if at is None:
        st.session_state[_NOTE] = (kind, said, settings)
    elif at != settings:
        st.session_state.pop(_NOTE)
        return False
    if kind == "bad":
        st.warning(plain(said), icon=":material/info:")
    else:
        st.success(plain(said), icon=":material/check:")
    return True
