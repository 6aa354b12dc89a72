"""What the pages under "Decide" share: the first page's settings, the task, and changes on top of them.

A change that a control can show moves the control. Any other is kept in the link beside the controls, as dotted paths
with plain values, and shown as a button that takes it back. The text comes from the address: what is no such path, or
is refused by the core, is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from memcalc.hardware.live import is_live
from memcalc.hardware.machine import Machine
from memcalc.scenario import Scenario
from memcalc.scenario.paths import Json, get, put
from memcalc.solve.axes import Axis
from memcalc.ui import carry, catalogues, controls, options, timeline_controls
from memcalc.ui.controls import Controls
from memcalc.ui.ledger import Run
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

LINK: Final = "query-params"
ALSO = "also"
LONGEST = 1500
"""Characters of all changes together."""
MOST = 24
PAGE = "advise"
TASKS = {"Training": "train", "Inference": "infer"}
_ROOTS = ("precision", "batch", "seq_len", "attention", "attention_mask", "expandable_segments", "training",
          "inference", "parallel", "model")  # fmt: skip
Overlay = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What the page is about: a task, its scenario with all changes made, and the controls for refusals."""

    chosen: Controls
    title: str
    scenario: Json
    changes: Overlay

    @property
    def task(self) -> str:
        return TASKS[self.title]

    @property
    def machine(self) -> Machine | None:
        """This machine, where the scenario is about one of its GPUs."""
        return machine(self.scenario)


def machine(scenario: Json) -> Machine | None:
    """This machine, where a scenario is about one of its GPUs."""
    return catalogues.machine() if is_live(str(get(scenario, "hardware.gpu") or "")) else None


def read(text: object) -> dict[str, Overlay]:
    """The changes in a link, by task; what cannot be one is left out."""
    try:
        given = json.loads(str(text)[: LONGEST + 1]) if text else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(given, dict):
        return {}
    return {task: clean(given[task]) for task in TASKS.values() if isinstance(given.get(task), dict)}


def clean(given: Mapping[Any, Any]) -> Overlay:
    """What of it can be changes."""
    found: Overlay = {}
    for path, value in list(given.items())[:MOST]:
        known = isinstance(path, str) and len(path) <= 60 and path.split(".")[0] in _ROOTS
        simple = value is None or isinstance(value, str | int | float | bool)
        if known and simple and (path != "model" or value in catalogues.models()):
            found[path] = value
    return found


def write(overlays: Mapping[str, Overlay]) -> str:
    """The changes as a link's value."""
    kept = {task: one for task, one in overlays.items() if one}
    return json.dumps(kept, separators=(",", ":")) if kept else ""


def made(scenario: Json, changes: Overlay) -> Json:
    """The scenario with the changes made, one after another; those that the core refuses are left out."""
    for path, value in changes.items():
        changed = put(scenario, path, value)
        try:
            Scenario.read(changed)
        except (ValueError, TypeError):
            continue
        scenario = changed
    return scenario


def ask() -> Asked:
    """Draw the settings, the task and the changes; what they mean."""
    chosen = timeline_controls.show()
    title = st.segmented_control("Task", list(TASKS), default="Training", required=True, key="task", bind=LINK)
    st.text_input("Changes", key=ALSO, bind=LINK, label_visibility="collapsed")
    title, scenario, changes = _meaning(str(title), chosen.settings)
    if changes:
        with st.container(horizontal=True, gap="xsmall", key="changes"):
            st.caption("Changed besides:", width="content")
            for path, value in changes.items():
                st.button(
                    plain(f"{path.split('.')[-1].replace('_', ' ')}: {'as usual' if value is None else value}"),
                    key=f"undo-{path}", icon=":material/close:", on_click=undo, args=(TASKS[title], path),
                    help="Take this change back",
                )  # fmt: skip
    return Asked(chosen, title, scenario, changes)


def _meaning(title: str, settings: Settings) -> tuple[str, Json, Overlay]:
    """The task's title, its scenario with all changes made, and the changes."""
    title = title if title in TASKS else "Training"
    changes = read(st.session_state.get(ALSO)).get(TASKS[title], {})
    return title, made(settings.training() if title == "Training" else settings.inference(), changes), changes


def again(chosen: Controls) -> Asked:
    """What the page is about now, for a part of it that is drawn alone: the controls were drawn before."""
    return Asked(chosen, *_meaning(str(st.session_state.get("task")), controls.current()))


def now() -> dict[str, Json]:
    """The scenario by its title, as the controls say it while they are not being drawn."""
    title, scenario, _ = _meaning(str(st.session_state.get("task")), controls.current())
    return {title: scenario}


def allowed() -> dict[str, Any]:
    """What a link to such a page may say."""
    return {**controls.allowed(), "task": list(TASKS), ALSO: None}


def undo(task: str, path: str) -> None:
    """Take one change back."""
    carry.step()
    overlays = read(st.session_state.get(ALSO))
    overlays.get(task, {}).pop(path, None)
    st.session_state[ALSO] = write(overlays)


def apply(task: str, sets: Mapping[str, Any]) -> None:
    """Make a change: with the controls, as far as they can show it; beside them for the rest."""
    carry.step()
    for key, state in effect(task, sets).items():
        st.session_state[key] = state


def effect(task: str, sets: Mapping[str, Any]) -> dict[str, Any]:
    """The states of the controls, ``ALSO`` among them, that make a change."""
    overlays = read(st.session_state.get(ALSO))
    overlay = overlays.setdefault(task, {})
    states: dict[str, Any] = {}
    for path, value in sets.items():
        state = control_state(task, path, value)
        if state is not None:
            states[state[0]] = state[1]
            overlay.pop(path, None)
        elif value is None:
            overlay.pop(path, None)
        else:
            overlay[path] = value
    return {**states, ALSO: write(overlays)}


def control_state(task: str, path: str, value: Any) -> tuple[str, Any] | None:
    """The first page's control for a field, and its state for a value; None where it has none."""
    ladders = {"batch": ("batch", options.BATCHES), "inference.new_tokens": ("new", options.NEW_TOKENS)}
    ladders["seq_len" if task == "train" else "inference.prompt_tokens"] = ("seq", options.LENGTHS)
    if path in ladders:
        key, rungs = ladders[path]
        return (key, value) if value in rungs else None
    if path == "precision":
        key, names = (("precision", options.TRAINING_PRECISIONS) if task == "train" else
                      ("infer", options.INFERENCE_PRECISIONS))  # fmt: skip
        return (key, value) if value in names else None
    if path == "training.optimizer":
        return ("optimizer", value) if value in options.OPTIMIZERS else None
    if path == "training.method":
        return ("method", options.METHODS[value]) if value in options.METHODS else None
    if path == "training.checkpointing":
        return ("checkpointing", value == "full") if value in ("none", "full") else None
    if path == "model.parameters":
        return ("exact", str(value))
    if path == "model":
        return ("model", value) if value in catalogues.models() else None
    return None


def sets_of_axis(axis: Axis, value: Any) -> dict[str, Any]:
    """The fields that a value of a sweep's axis sets."""
    if axis.path == "model" and isinstance(value, Mapping):
        return {"model.parameters": value["parameters"]}
    return {axis.path: value}


def besides(scenario: Mapping[str, Any], base: Mapping[str, Any], path: str = "") -> Overlay:
    """What a scenario sets beyond the first page's settings, as changes: so that it can be taken along to a page that
    only has those."""
    found: Overlay = {}
    for name, value in scenario.items():
        at = f"{path}.{name}" if path else name
        if at.split(".")[0] not in _ROOTS or at == "model":
            continue
        if isinstance(value, Mapping):
            found |= besides(value, base, at)
        elif value != get(base, at) and not isinstance(value, list | tuple):
            found[at] = value
    return found


def offer(run: Run, scenario: Json, settings: Settings) -> None:
    """A way to the page Make it fit, with everything that was set, where a run does not fit."""
    fit = run.estimate.get("fit")
    if not fit or fit["verdict"] == "fits":
        return
    task = str(scenario["task"])
    base = settings.training() if task == "train" else settings.inference()
    also = write({task: besides(scenario, base)})
    title = next(name for name, one in TASKS.items() if one == task)
    more = {"task": title, **({ALSO: also} if also else {})}
    st.button("What would make it fit?", key="make-it-fit", icon=":material/auto_fix_high:", on_click=carry.leave,
              args=(PAGE,), kwargs=more)  # fmt: skip
