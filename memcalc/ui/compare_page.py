"""The page Compare: pins from the link, their bars, their differences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import streamlit as st

from memcalc.errors import MemcalcError
from memcalc.ui import (
    bring,
    bring_model,
    brought,
    export,
    form_controls,
    frame,
    glossary,
    keep,
    markup,
    own_models,
    pins,
    result,
    words,
)
from memcalc.ui import compare_view as view
from memcalc.ui.form import Json, get
from memcalc.ui.ledger import Run
from memcalc.ui.plain_figure import PlainFigure
from memcalc.ui.words import plain

_LLAMA: Json = {"model": "Llama-3.1-8B", "hardware": {"gpu": "24GB"}}


def _trained(method: str) -> Json:
    return {**_LLAMA, "task": "train", "training": {"method": method, "checkpointing": "full"}}


def _read(tokens: int) -> Json:
    return {**_LLAMA, "task": "infer", "inference": {"prompt_tokens": tokens}}


#: What an empty page offers, by the words on its button: the same model on the same card, one thing changed.
EXAMPLES: Final[dict[str, tuple[Json, ...]]] = {
    "Full, LoRA and QLoRA": tuple(_trained(method) for method in ("full", "lora", "qlora")),
    "Training and inference": (_trained("full"), _read(2048)),
    "Prompts of 2, 8, 32 and 128 thousand tokens": tuple(_read(tokens) for tokens in (2048, 8192, 32768, 131000)),
}


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    tools = frame.heading(
        "Compare", "Up to four scenarios on one axis. They are kept in the link: copy it to share them."
    )
    form_controls.style()
    bring_model.settle(_pin)
    brought.hold()
    pins.hold()
    held, dropped = pins.pinned()
    frame.link_notes(given, lambda: {"pins": None, own_models.KEY: None}, held)
    if dropped:
        st.warning(plain(" ".join(dropped)), icon=":material/link_off:")
    runs = _answers(held)
    with tools, st.container(horizontal=True, gap="small", vertical_alignment="center", key="actions"):
        if runs:
            keep.along("memcalc-compare", lambda: dict(zip((run.title for run in runs), held, strict=True)), _picture)
        bring.button(None)
        bring_model.button(_pin)
    if not runs:
        _empty()
        return
    card, capacity = view.shared_card(held, runs)
    said = {run.title: words.verdict(run, _card(run, one)) for run, one in zip(runs, held, strict=True)}
    st.html(markup.verdicts(said))
    _unpin(runs)
    st.html(markup.legend(runs, ""))
    named = words.card(str(get(held[0], "hardware.gpu") or ""), card)
    st.plotly_chart(
        PlainFigure(export.room_for_camera(view.bars(runs, named, capacity))),
        key="phases",
        config=export.camera("memcalc-compare"),
        alt=words.alternative(runs, named, capacity),
    )
    if len(runs) > 1:
        same = "Nothing but the pins' order differs."
        st.html(view.table(view.differences(runs), "What differs") or f"<p>{same}</p>")
    else:
        st.info("Pin a second scenario to see what differs.", icon=":material/keep:")
    st.html(view.table(view.sizes(runs), "At the highest instant"))
    glossary.row(("activations", "KV cache", "optimizer states", "workspace", "reserved", "GiB and GB", "16 GB card"))


def _picture(runs: Sequence[Run]) -> list[export.Offer]:
    """The bars as a file to take along."""
    scenarios = [run.estimate["scenario"] for run in runs]
    card, capacity = view.shared_card(scenarios, list(runs))
    named = words.card(str(get(scenarios[0], "hardware.gpu") or ""), card)
    make = partial(view.bars, list(runs), named, capacity)
    return [export.picture("memcalc-compare", make, words.alternative(list(runs), named, capacity))]


def _pin(model: Any) -> str:
    """Pin a model that was brought: in the last pin's place otherwise, or used as the examples are."""
    held, _ = pins.pinned()
    like = held[-1] if held else _read(2048)
    if len(held) == pins.MOST:
        raise ValueError(f"{pins.MOST} scenarios are pinned: unpin one first")
    scenario = pins.check({**like, "model": model})
    pins.add(scenario)
    if own_models.is_own(model):
        brought.keep(model)
    return f"{view.model_name(scenario)} is pinned, with the settings of {'the last pin' if held else 'an example'}."


def _answers(held: list[Json]) -> list[Run]:
    """The pins' answers; a pin that the core refuses was dropped when it was read."""
    runs = []
    for number, scenario in enumerate(held, 1):
        try:
            runs.append(result.ask(view.title(number, scenario), scenario))
        except MemcalcError as error:  # this machine's GPU may have gone meanwhile
            st.warning(plain(f"Pin {number}: {error.message}"), icon=":material/info:")
            return []
    return runs


def _card(run: Run, scenario: Json) -> str:
    fit = run.estimate.get("fit")
    return words.card(str(get(scenario, "hardware.gpu") or ""), fit["gpu"]) if fit else ""


def _unpin(runs: list[Run]) -> None:
    with st.container(horizontal=True, gap="small", key="unpin"):
        for place, run in enumerate(runs):
            st.button(
                f"Unpin {place + 1}",
                key=f"unpin-{place}",
                icon=":material/keep_off:",
                on_click=pins.remove,
                args=(place,),
                help=plain(run.title),
            )


def _empty() -> None:
    """Nothing pinned yet: say how it is done, and offer pins to begin with."""
    st.info(
        "Press **Pin** on one of the other pages, change something, and pin again: the bars then stand on one axis "
        "here, with a table of what differs. Or begin with an example:",
        title="Nothing is pinned yet",
        icon=":material/keep:",
    )
    with st.container(horizontal=True, gap="small", key="examples"):
        for number, (label, scenarios) in enumerate(EXAMPLES.items()):
            st.button(label, key=f"example-{number}", icon=":material/keep:", on_click=pins.add, args=scenarios)
    with st.container(horizontal=True, gap="small"):
        st.page_link("pages/views/fit.py", label="Will it fit?", icon=":material/memory:")
        st.page_link("pages/views/training.py", label="Training", icon=":material/school:")
        st.page_link("pages/views/inference.py", label="Inference", icon=":material/chat:")
