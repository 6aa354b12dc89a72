"""Below the answer of the Inference page: what to type, a table of quantisations, the cache as curves, the log."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import streamlit as st

from memcalc import checkpoint, units
from memcalc.errors import MemcalcError
from memcalc.inference.room import Curves, Row, by_format, curves
from memcalc.models import catalogue
from memcalc.runtimes.command import command, note
from memcalc.shared import Shared
from memcalc.ui import catalogues, figures, own_models, result, words
from memcalc.ui.colours import COLOURS, LINE
from memcalc.ui.form import Json, get
from memcalc.ui.inference_settings import FILES, GGUF, STORED, WEIGHTS
from memcalc.ui.ledger import Run
from memcalc.ui.plain_figure import PlainFigure

VERDICTS = {"fits": "✓ fits", "tight": "~ tight", "does not fit": "✗ does not fit"}


def below(scenario: Json, run: Run) -> None:
    """Everything under the bars; what takes time is drawn only once it is opened."""
    _command(run)
    if run.estimate.get("fit"):
        place = st.expander("Every quantisation on this card", icon=":material/compress:", key="quantisations",
                            on_change="rerun")  # fmt: skip
        if place.open:
            with place:
                _table(scenario)
    if (run.estimate.get("runtime") or {}).get("name") != "forward":  # one pass keeps no cache
        place = st.expander("The cache as it grows", icon=":material/show_chart:", key="cache-curves",
                            on_change="rerun")  # fmt: skip
        if place.open:
            with place:
                _curves(scenario, run)
    log = (run.estimate.get("runtime") or {}).get("log")
    if log:
        with st.expander("What its log would say", icon=":material/terminal:", key="log"):
            st.code("\n".join(log), language=None, wrap_lines=True)


def _command(run: Run) -> None:
    """What to type to start the runtime with these settings."""
    scenario = run.estimate["scenario"]
    model = scenario["model"]
    place = model.get("repository", "").partition(":")[0] if own_models.is_own(model) else ""
    if not isinstance(model, str) and not place:
        return
    try:
        said = command(scenario, place or catalogue.find(model).hub)
    except MemcalcError:
        return
    if said:
        st.caption("What to type to start it with these settings")
        st.code(said, language="bash", wrap_lines=True)
        missing = note(scenario)
        if missing:
            st.caption(words.plain(missing))


def _formats(scenario: Json) -> tuple[str, ...]:
    if get(scenario, "inference.runtime") in GGUF:
        return FILES
    return WEIGHTS if checkpoint.of(scenario.get("model")) is None else STORED


@lru_cache(maxsize=256)
def _remembered(asked: str, formats: tuple[str, ...]) -> list[Row]:
    return by_format(json.loads(asked), formats)


def rows(scenario: Json) -> list[Row]:
    """The table's rows. A GPU of this machine is read anew each time; other answers depend on the question alone."""
    if str(get(scenario, "hardware.gpu") or "").startswith("live:"):
        return by_format(scenario, _formats(scenario), Shared(machine=catalogues.machine()))
    return _remembered(json.dumps(scenario, sort_keys=True), _formats(scenario))


def table(found: list[Row]) -> dict[str, list[Any]]:
    """The rows as columns for the page."""
    quantised = any(one.weights == "dequantized" for one in found)
    names = {"same": "as published" if quantised else "as the precision", "dequantized": "dequantised"}
    return {
        "Weights": [names.get(one.weights, one.weights) for one in found],
        "Size": [units.binary(one.size) for one in found],
        "On the card": [units.binary(one.device) for one in found],
        "Verdict": [f"{VERDICTS[one.verdict]}{f', {one.aside}' if one.aside else ''}" for one in found],
        "Left": [("−" if one.headroom < 0 else "") + units.binary(abs(one.headroom)) for one in found],
        "Context, about": ["none" if one.tokens is None else f"{one.tokens:,}" for one in found],
    }


def _table(scenario: Json) -> None:
    found = rows(scenario)
    batch = int(scenario.get("batch") or 1)
    each = "one sequence" if batch == 1 else f"each of {batch:,} sequences"
    st.caption(f"Context: about how many tokens {each} could have on this card, as far as the model's positions go.")
    st.dataframe(table(found), hide_index=True, key="quantisation-table")


def _curves(scenario: Json, run: Run) -> None:
    found = curves(scenario, run.estimate)
    if found is None:
        st.info("This run keeps no cache.", icon=":material/info:")
        return
    card, _ = result.card_of([run], get(scenario, "hardware.gpu"))
    if run.estimate["runtime"]["name"] == "transformers":
        st.caption("Working memory is taken as it is now; it grows with prompt and batch as well, so that less fits.")
    for name, said in (("context", context_words(found, card)), ("sequences", count_words(found, card))):
        st.markdown(words.plain(said))
        st.plotly_chart(PlainFigure(figure(found, name, card)), key=f"curve-{name}", config=figures.CONFIG, alt=said)


def _end(xs: tuple[int, ...], ys: tuple[int, ...], room: int) -> int:
    """The largest x whose y is within the room, along straight lines between the points; 0 if none is."""
    best, before = 0, (0, 0)
    for x, y in zip(xs, ys, strict=True):
        if y <= room:
            best, before = x, (x, y)
            continue
        return best + (x - before[0]) * max(0, room - before[1]) // max(1, y - before[1])
    return best


def _fits(found: Curves, end: int, last: int, what: str, card: str) -> str:
    if found.room is None:
        return ""
    if found.room <= 0:
        return f" The {card} has no room for a cache."
    more = " and more" if end >= last else ""
    return f" The {card} has room for {units.binary(found.room)} of it: up to {end:,} {what}{more}."


def _length(found: Curves) -> str:
    beside = f" written beside {found.source:,} of the encoder" if found.source else ""
    return f"{found.context:,} tokens{beside}"


def context_words(found: Curves, card: str) -> str:
    """The first curve as a sentence."""
    many = "one sequence" if found.sequences == 1 else f"{found.sequences:,} sequences"
    now = found.by_length[found.lengths.index(found.context)]
    said = f"Cache of {many}: {units.binary(now)} at {_length(found)}."
    end = _end(found.lengths, found.by_length, found.room or 0)
    return said + _fits(found, end, found.lengths[-1], "tokens each" if found.sequences > 1 else "tokens", card)


def count_words(found: Curves, card: str) -> str:
    """The second curve as a sentence."""
    each = found.by_count[found.counts.index(1)]
    said = f"Cache of sequences of {_length(found)}: {units.binary(each)} each."
    end = _end(found.counts, found.by_count, found.room or 0)
    return said + _fits(found, end, found.counts[-1], "at once", card)


def figure(found: Curves, which: str, card: str) -> dict[str, Any]:
    """One curve in GiB with the room that the card has for it; a point for the scenario."""
    context = which == "context"
    xs, ys = (found.lengths, found.by_length) if context else (found.counts, found.by_count)
    now = found.context if context else found.sequences
    tokens = "tokens written for a sequence" if found.source else "tokens of a sequence"
    title = tokens if context else "sequences at once"
    hover = [f"{x:,} {title}<br>{units.both(y)}" for x, y in zip(xs, ys, strict=True)]
    data: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "KV cache", "x": list(xs), "y": [units.gib(y) for y in ys],
         "line": {"color": COLOURS["kv_cache"], "width": 3}, "hovertext": hover, "hoverinfo": "text"},
        {"type": "scatter", "mode": "markers", "name": "now", "x": [now], "y": [units.gib(ys[xs.index(now)])],
         "marker": {"color": COLOURS["kv_cache"], "size": 11, "line": {"color": "#FFFFFF", "width": 2}},
         "hovertext": [f"now: {hover[xs.index(now)]}"], "hoverinfo": "text"},
    ]  # fmt: skip
    top = units.gib(ys[-1])
    shapes, notes = [], []
    if found.room is not None:
        level = units.gib(found.room)
        if level > 0:  # without any room the whole curve says more than its beginning
            top = min(top, max(3 * level, units.gib(ys[xs.index(now)]) * 1.2, 0.1))
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level,
                       "line": {"color": LINE, "width": 3, "dash": "dash"}})  # fmt: skip
        # The label stands where the curve does not: on the right of a steep one, on the left of a flat one.
        steep = ys[-1] > 1.5 * found.room
        notes.append({"xref": "paper", "x": 0.99 if steep else 0.01, "y": level, "showarrow": False,
                      "text": f"room on the {card}: {units.binary(found.room)}",
                      "xanchor": "right" if steep else "left", "yanchor": "bottom"})  # fmt: skip
        top = max(top, level * 1.15)
    return {
        "data": data,
        "layout": {
            "height": 300, "margin": {"l": 54, "r": 12, "t": 12, "b": 46}, "showlegend": False, "shapes": shapes,
            "annotations": notes, "hovermode": "closest", "uirevision": which,
            "xaxis": {"title": {"text": title}, "rangemode": "tozero", "fixedrange": True},
            "yaxis": {"title": {"text": "GiB of cache"}, "range": [0, 1.08 * top], "fixedrange": True},
        },
    }  # fmt: skip
