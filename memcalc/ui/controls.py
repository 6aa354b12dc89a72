"""The controls of the first page. Each is bound to the address, so that a copied link says it all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from memcalc.ui import catalogues, links, options
from memcalc.ui.options import HELP
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

LINK: Final = "query-params"
SOURCES = ("Known model", "Any size")
USUAL_CARD = "16 GB card"

#: Which group of controls a field of the scenario belongs to; anything else is said at the model.
_PLACE_OF = {
    "gpu": "card",
    "hardware": "card",
    "batch": "load",
    "seq_len": "load",
    "prompt_tokens": "load",
    "new_tokens": "inference",
    "inference": "inference",
    "training": "training",
    "precision": "training",
}


@dataclass
class Controls:
    """What was chosen, and a place at the end of each group for a word about it."""

    settings: Settings = field(default_factory=Settings)
    places: dict[str, DeltaGenerator] = field(default_factory=dict)

    def group(self, name: str, title: str = "") -> DeltaGenerator:
        """A new group of controls, to be used with ``with``."""
        place = self.places[name] = st.container(gap="small", key=f"group-{name}")
        if title:
            place.markdown(f"**{title}**")
        return place

    def place_of(self, path: str) -> str:
        """The group that the scenario's field ``path`` (``"training.optimizer"``) belongs to."""
        return next((_PLACE_OF[name] for name in reversed(path.split(".")) if name in _PLACE_OF), "model")

    def complain(self, place: str, message: str) -> None:
        """Say ``message`` at the end of a group."""
        self.places[place].warning(plain(message), icon=":material/info:")


def allowed() -> dict[str, Collection[str] | None]:
    """Every setting a link may carry, with its values (``None``: the control checks them itself)."""
    return {
        "source": SOURCES,
        "model": catalogues.models(),
        "size": [options.ladder(size) for size in options.SIZES],
        "exact": None,
        "gpu": card_choices(),
        "batch": [str(rung) for rung in options.BATCHES],
        "seq": [str(rung) for rung in options.LENGTHS],
        "precision": options.TRAINING_PRECISIONS,
        "optimizer": options.OPTIMIZERS,
        "method": options.METHODS.values(),
        "checkpointing": ("true", "false"),
        "infer": options.INFERENCE_PRECISIONS,
        "new": [str(rung) for rung in options.NEW_TOKENS],
    }


def card_choices() -> dict[str, str | None]:
    """The selector's entries by label; this machine's own GPUs come first."""
    here = {f"This machine: GPU {gpu['index']}": f"live:{gpu['index']}" for gpu in catalogues.live()["gpus"]}
    sizes = {size.replace("GB", " GB card"): size for size in options.CARD_SIZES}
    return {**here, **sizes, **{name: name for name in catalogues.cards()}, "No card": None}


def show() -> Controls:
    """Draw all controls and return what they say."""
    controls = Controls()
    chosen: dict[str, Any] = {}
    with controls.group("model"):
        chosen["model"] = _model(controls)
    with controls.group("card"):
        labels = card_choices()
        chosen["gpu"] = labels[_select("Card", list(labels), "gpu", usual=USUAL_CARD, help=HELP["gpu"])]
    with controls.group("load"):
        chosen["batch"] = _ladder("Sequences at once (micro-batch)", options.BATCHES, 1, "batch")
        chosen["seq_len"] = _ladder("Tokens per sequence", options.LENGTHS, 2048, "seq")
    with controls.group("training", "Training"):
        chosen |= _training()
    with controls.group("inference", "Inference"):
        left, right = st.columns(2)
        with left:
            chosen["inference_precision"] = _explained("Precision", options.INFERENCE_PRECISIONS, "infer")
        with right:
            chosen["new_tokens"] = _ladder("New tokens", options.NEW_TOKENS, 128, "new")
    controls.settings = Settings(**chosen)
    return controls


def _model(controls: Controls) -> str | int:
    source = st.segmented_control(
        "Model", SOURCES, default=SOURCES[0], required=True, key="source", bind=LINK, help=HELP["source"]
    )
    if source != SOURCES[1]:
        usual = Settings.model if isinstance(Settings.model, str) else ""
        return _select("Name", catalogues.models(), "model", usual=usual, label_visibility="collapsed")
    size = _ladder("Parameters", options.SIZES, 7 * 10**9, "size", options.ladder, on_change=_forget_exact)
    text = st.text_input("… or exactly", key="exact", bind=LINK, placeholder="6.74B", max_chars=24, help=HELP["exact"])
    complaint = links.size_complaint(text or "")
    if complaint:
        controls.complain("model", complaint)
    return options.parse_size(text) if text and text.strip() and not complaint else size


def _forget_exact() -> None:
    """Moving the slider takes over from the exact number."""
    st.session_state["exact"] = ""


def _training() -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    left, right = st.columns(2)
    with left:
        chosen["precision"] = _explained("Precision", options.TRAINING_PRECISIONS, "precision")
    with right:
        chosen["optimizer"] = _explained("Optimizer", options.OPTIMIZERS, "optimizer")
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        shown = list(options.METHODS.values())
        method = st.segmented_control(
            "What is trained", shown, default=shown[0], required=True, key="method", bind=LINK, help=HELP["method"]
        )
    chosen["method"] = next((name for name, label in options.METHODS.items() if label == method), "full")
    with right:
        chosen["checkpointing"] = st.toggle(
            "Gradient checkpointing", key="checkpointing", bind=LINK, help=HELP["checkpointing"]
        )
    return chosen


def _select(label: str, choices: list[str], key: str, usual: str = "", **more: Any) -> str:
    index = choices.index(usual) if usual in choices else 0
    value = st.selectbox(label, choices, index=index, key=key, bind=LINK, **more)
    return value if value in choices else choices[index]


def _explained(label: str, choices: dict[str, str], key: str) -> str:
    """A selector whose tooltip says what each choice means."""
    return _select(label, list(choices), key, help="\n".join(f"- **{name}**: {line}" for name, line in choices.items()))


def _ladder(
    label: str, rungs: tuple[int, ...], usual: int, key: str, show: Callable[[int], str] = str, **more: Any
) -> int:
    """A slider over fixed rungs, close together where small numbers are."""
    value = st.select_slider(
        label, rungs, value=usual, format_func=show, key=key, bind=LINK, help=HELP.get(key), **more
    )
    return value if value in rungs else usual
