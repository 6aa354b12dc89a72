"""The controls of the first page. Each is bound to the address, so that a copied link says it all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from memcalc.errors import MemcalcError
from memcalc.ui import bring_model, brought, catalogues, links, options, own_card, own_models, redraw
from memcalc.ui.options import HELP
from memcalc.ui.state import Settings
from memcalc.ui.words import plain

LINK: Final = "query-params"
SOURCES = options.SOURCES
USUAL_CARD = "16 GB card"
USUAL_SIZE = 7 * 10**9

#: Every control, by its name in a link.
KEYS = ("source", "model", "size", "exact", "gpu", "free", "reserve", "batch", "seq", "precision", "optimizer",
        "method", "checkpointing", "infer", "new")  # fmt: skip

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

    def remarks(self, settings: Settings, refusals: list[MemcalcError]) -> list[tuple[str, str]]:
        """What an answer says at the controls: (a group, a message) for what was shortened and what the core refused,
        one word of it to each group."""
        first = {self.place_of(error.field): error.message for error in reversed(refusals)}
        said = list(first.items())
        if settings.shortened:
            limit = f"{settings.model} can read {settings.longest:,} tokens at most: so many are taken."
            said.append(("load", limit))
        if not settings.generates:
            said.append(("inference", f"{settings.model} {settings.used}"))
        if settings.positions:
            said.append(("load", f"{settings.model} {settings.heard}"))
        return said

    def remark(self, settings: Settings, refusals: list[MemcalcError], besides: object = None) -> None:
        """Say an answer's remarks; in a part of the page that is drawn alone, have the page drawn where they differ, or
        what else the page shows because of the answer (``besides``)."""
        said = self.remarks(settings, refusals)
        redraw.outside((said, besides))
        if not redraw.alone():
            for place, message in said:
                self.complain(place, message)

    def refuse(self, refusals: list[MemcalcError]) -> None:
        """Say what the core refused at the controls concerned, one word to each group."""
        first = {self.place_of(error.field): error for error in reversed(refusals)}
        for place, error in first.items():
            self.complain(place, error.message)


def allowed() -> dict[str, Collection[str] | None]:
    """Every setting a link may carry, with its values (``None``: the control checks them itself)."""
    return {
        "source": SOURCES,
        "model": model_choices(),
        own_models.KEY: None,
        "size": [options.ladder(size) for size in options.SIZES],
        "exact": None,
        "gpu": card_choices(),
        "free": None,
        "reserve": None,
        "batch": [str(rung) for rung in options.BATCHES],
        "seq": [str(rung) for rung in options.LENGTHS],
        "precision": options.TRAINING_PRECISIONS,
        "optimizer": options.OPTIMIZERS,
        "method": options.METHODS.values(),
        "checkpointing": ("true", "false"),
        "infer": options.INFERENCE_PRECISIONS,
        "new": [str(rung) for rung in options.NEW_TOKENS],
    }


def model_choices() -> list[str]:
    """The selector's entries: what this visitor brought, then the catalogue."""
    return [*brought.labels(), *catalogues.models()]


def card_choices() -> dict[str, str | None]:
    """The selector's entries by label; this machine's own GPUs come first."""
    here = {f"This machine: GPU {gpu.device}": gpu.select for gpu in catalogues.live().reading.gpus}
    sizes = {size.replace("GB", " GB card"): size for size in options.CARD_SIZES}
    return {**here, **sizes, **{name: name for name in catalogues.cards()}, "No card": None}


def current() -> Settings:
    """What the controls say once they are drawn, or in a part of the page that is drawn again without them."""
    return meaning({key: st.session_state.get(key) for key in KEYS})


def show() -> Controls:
    """Draw all controls and return what they say."""
    return redraw.controls(_drawn)


def _drawn() -> Controls:
    controls = Controls()
    values: dict[str, Any] = {}
    with controls.group("model"):
        values |= _model()
    with controls.group("card"):
        values["gpu"] = _select("Card", list(card_choices()), "gpu", usual=USUAL_CARD, help=HELP["gpu"])
        values |= own_card.show()
    with controls.group("load"):
        values["batch"] = _ladder("Sequences at once (micro-batch)", options.BATCHES, 1, "batch")
        values["seq"] = _tokens(values)
    with controls.group("training", "Training"):
        values |= _training()
    with controls.group("inference", "Inference"), _pairs():
        values["infer"] = _explained("Precision", options.INFERENCE_PRECISIONS, "infer")
        values["new"] = _new_tokens(values)
    complaint = links.size_complaint(values.get("exact") or "")
    if complaint:
        controls.complain("model", complaint)
    controls.settings = meaning(values)
    return controls


def meaning(values: Mapping[str, Any]) -> Settings:
    """The settings that the controls' values mean; what is no choice of a control counts as its usual value."""
    usual = Settings()

    def one_of(key: str, choices: Collection[Any], otherwise: Any) -> Any:
        return values[key] if values[key] in choices else otherwise

    model: str | int
    if values["source"] == SOURCES[1]:
        exact = values["exact"] or ""
        readable = exact.strip() and not links.size_complaint(exact)
        model = options.parse_size(exact) if readable else one_of("size", options.SIZES, USUAL_SIZE)
    else:
        model = one_of("model", model_choices(), usual.model)
    cards = card_choices()
    described = brought.scenario_model(model)
    return Settings(
        model=model,
        gpu=cards[one_of("gpu", cards, USUAL_CARD)],
        batch=one_of("batch", options.BATCHES, usual.batch),
        seq_len=one_of("seq", options.LENGTHS, usual.seq_len),
        precision=one_of("precision", options.TRAINING_PRECISIONS, usual.precision),
        optimizer=one_of("optimizer", options.OPTIMIZERS, usual.optimizer),
        method=next((name for name, shown in options.METHODS.items() if shown == values["method"]), usual.method),
        checkpointing=bool(values["checkpointing"]),
        inference_precision=one_of("infer", options.INFERENCE_PRECISIONS, usual.inference_precision),
        new_tokens=one_of("new", options.NEW_TOKENS, usual.new_tokens),
        free=own_card.size_of(values.get("free")),
        reserve=own_card.size_of(values.get("reserve")) or 0,
        longest=brought.longest(model),
        own=brought.find(model),
        generates=brought.generates(model),
        used=own_models.used(described),
        two_sided=own_models.two_sided(described),
        positions=own_models.positions(described),
        heard=own_models.heard(described),
    )


def _model() -> dict[str, Any]:
    bring_model.settle()
    brought.hold()
    source = st.segmented_control(
        "Model", SOURCES, default=SOURCES[0], required=True, key="source", bind=LINK, help=HELP["source"],
        on_change=redraw.whole,
    )  # fmt: skip
    if source != SOURCES[1]:
        # What stands below it is about a model that the visitor brought.
        change = redraw.whole if brought.held() else redraw.answer
        name = _select("Name", model_choices(), "model", usual=str(Settings.model), label_visibility="collapsed",
                       on_change=change)  # fmt: skip
        brought.word(name)
        bring_model.button()
        return {"source": source, "model": name}
    size = _ladder("Parameters", options.SIZES, USUAL_SIZE, "size", options.ladder, on_change=_forget_exact)
    exact = st.text_input("… or exactly", key="exact", bind=LINK, placeholder="6.74B", max_chars=24, help=HELP["exact"],
                          on_change=redraw.whole)  # fmt: skip
    bring_model.button()
    return {"source": source, "size": size, "exact": exact}


def _tokens(values: Mapping[str, Any]) -> int:
    """The slider of lengths; where the model looks at pictures, or its encoder has a fixed length, it is seen and
    cannot be moved."""
    model = brought.scenario_model(values["model"]) if values["source"] == SOURCES[0] else None
    fixed = own_models.sees(model) or own_models.positions(model) > 0
    return _ladder("Tokens per sequence", options.LENGTHS, 2048, "seq", disabled=fixed)


def _new_tokens(values: Mapping[str, Any]) -> int:
    """Where the chosen model writes nothing, the slider is seen and cannot be moved."""
    reads = values["source"] == SOURCES[0] and not brought.generates(values["model"])
    return _ladder("New tokens", options.NEW_TOKENS, 128, "new", disabled=reads)


def _forget_exact() -> None:
    """Moving the slider takes over from the exact number."""
    if st.session_state.get("exact"):
        st.session_state["exact"] = ""
        redraw.whole()
    redraw.answer()


def _pairs() -> Any:
    """Controls two by two where there is room."""
    return st.grid(2, min_column_width=150, vertical_alignment="bottom", gap="small")


def _training() -> dict[str, Any]:
    shown = list(options.METHODS.values())
    with _pairs():
        values: dict[str, Any] = {
            "precision": _explained("Precision", options.TRAINING_PRECISIONS, "precision"),
            "optimizer": _explained("Optimizer", options.OPTIMIZERS, "optimizer"),
        }
    values["method"] = st.segmented_control(
        "What is trained", shown, default=shown[0], required=True, key="method", bind=LINK, help=HELP["method"],
        wrap=True, on_change=redraw.answer,
    )  # fmt: skip
    values["checkpointing"] = st.toggle(
        "Gradient checkpointing", key="checkpointing", bind=LINK, help=HELP["checkpointing"], wrap=True,
        on_change=redraw.answer,
    )  # fmt: skip
    return values


def _select(label: str, choices: list[str], key: str, usual: str = "", **more: Any) -> str:
    index = choices.index(usual) if usual in choices else 0
    more.setdefault("on_change", redraw.answer)
    return str(st.selectbox(label, choices, index=index, key=key, bind=LINK, **more))


def _explained(label: str, choices: dict[str, str], key: str) -> str:
    """A selector whose tooltip says what each choice means."""
    return _select(label, list(choices), key, help="\n".join(f"- **{name}**: {line}" for name, line in choices.items()))


def _ladder(
    label: str, rungs: tuple[int, ...], usual: int, key: str, show: Callable[[int], str] = str, **more: Any
) -> int:
    """A slider over fixed rungs, close together where small numbers are."""
    more.setdefault("on_change", redraw.answer)
    return st.select_slider(label, rungs, value=usual, format_func=show, key=key, bind=LINK, help=HELP.get(key), **more)
