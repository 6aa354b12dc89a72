"""The cases of the page Accuracy: which there are, which of them are shown, what is said of them. No Streamlit."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any

from memcalc import accuracy, units
from memcalc.accuracy import MeasuredCase, TracedCase
from memcalc.diffusion import is_pipeline
from memcalc.measured import left_out
from memcalc.models import catalogue, describe
from memcalc.ui.accuracy_figures import Dot, percent

TRACES, MEASUREMENTS = "Traces", "Measurements"
EVERYTHING = "All"


@dataclass(frozen=True, slots=True)
class Case:
    """A case of either kind as the page needs it."""

    dot: Dot
    family: str
    settings: dict[str, str]
    scenario: dict[str, Any]
    of: TracedCase | MeasuredCase


@lru_cache(maxsize=2)
def cases(truth: str) -> tuple[Case, ...]:
    """Every case, the largest error first."""
    found = [_traced(one) for one in accuracy.record().cases] if truth == TRACES else [
        _measured(one) for one in accuracy.measured()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: -abs(one.dot.error)))


def _traced(one: TracedCase) -> Case:
    training = one.scenario["task"] == "train"
    dot = Dot(one.name, training, False, one.traced, one.estimated, one.estimated, one.estimated)
    return Case(dot, one.family, _settings(one.scenario), one.scenario, one)


def _measured(one: MeasuredCase) -> Case:
    published = one.measurement
    scenario = {"task": "infer", **published.scenario}
    dot = Dot(
        published.id, scenario["task"] == "train", bool(published.differs), published.measured, one.estimated,
        one.low, one.high,
    )  # fmt: skip
    settings = {**_settings(scenario), "measured": published.what, "code": "differs" if published.differs else "same"}
    return Case(dot, _family(scenario["model"]), settings, scenario, one)


def _family(model: Any) -> str:
    if is_pipeline({"model": model}):
        return "flux" if str(model).startswith("FLUX") else "stable diffusion"
    config = catalogue.find(model).config if isinstance(model, str) else model.get("config", {})
    return str(config.get("model_type", "by size"))


def _settings(scenario: dict[str, Any]) -> dict[str, str]:
    task = "training" if scenario["task"] == "train" else "inference"
    return {"task": task, **accuracy.settings_of(scenario)}


@lru_cache(maxsize=2)
def families(truth: str) -> tuple[str, ...]:
    """The families that have a case."""
    return (EVERYTHING, *sorted({one.family for one in cases(truth)}))


@lru_cache(maxsize=2)
def settings(truth: str) -> tuple[str, ...]:
    """Every setting by which some cases can be told from others, as ``name: value``."""
    found = Counter(f"{name}: {value}" for one in cases(truth) for name, value in one.settings.items())
    total = len(cases(truth))
    order = list(dict.fromkeys(name for one in cases(truth) for name in one.settings))
    named = sorted((one for one, count in found.items() if count < total),
                   key=lambda one: (order.index(one.partition(":")[0]), one))  # fmt: skip
    return (EVERYTHING, *named)


def shown(truth: str, family: str, setting: str) -> list[Case]:
    """The cases of a family and a setting."""
    name, _, value = setting.partition(": ")
    return [
        one
        for one in cases(truth)
        if family in (EVERYTHING, one.family) and (setting == EVERYTHING or one.settings.get(name) == value)
    ]


def facts(some: Sequence[Case]) -> list[tuple[str, str]]:
    """The figures above the chart."""
    found = accuracy.summary(one.dot.error for one in some)
    listed = [
        ("cases", f"{found.count:,}"),
        ("median error", percent(found.median).lstrip("+")),
        ("19 of 20 within", percent(found.most).lstrip("+")),
        ("worst error", percent(found.worst).lstrip("+")),
    ]
    judged = [one.of for one in some if isinstance(one.of, MeasuredCase)]
    if judged:
        width = statistics.median(one.width for one in judged)
        listed.append(("stated range holds", f"{sum(one.held for one in judged)} of {len(judged)}"))
        listed.append(("its median width", f"{width:.1%}"))
    return listed


def facts_html(some: Sequence[Case]) -> str:
    """The figures as a list of definitions."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts(some))
    return f'<dl class="mc-facts">{cells}</dl>'


def groups_html(some: Sequence[Case]) -> str:
    """Measurements by group: training and inference, of the code that is meant or of another."""
    judged = [one.of for one in some if isinstance(one.of, MeasuredCase)]
    rows = ""
    for name, group in accuracy.by_group(judged).items():
        found = accuracy.summary(one.error for one in group)
        held = sum(one.held for one in group)
        cells = (f"{found.count}", f"{found.median:.2%}", f"{found.worst:.2%}", f"{held} of {found.count}",
                 f"{statistics.median(one.width for one in group):.1%}")  # fmt: skip
        rows += f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("cases", "median", "worst", "in range", "width"))
    return (
        '<div class="mc-tables mc-groups"><div><table><caption><b>Errors by kind of measurement</b>, how many lie in '
        "the stated range, its median width</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def left_out_html() -> str:
    """What no scenario can say: which runs, from where, and why."""
    rows = "".join(
        f'<tr><th scope="row">{escape(one.ids)}</th><td>{escape(one.what)}. {escape(one.why)}.<br>'
        f"<small>{escape(one.source)}</small></td></tr>"
        for one in left_out()
    )
    return (
        '<div class="mc-compare mc-source"><table><caption><b>What was measured</b>, and why no scenario says it'
        f"</caption><tbody>{rows}</tbody></table></div>"
    )


def alternative(some: Sequence[Case], truth: str) -> str:
    """The chart in words."""
    listed = ", ".join(f"{name} {value}" for name, value in facts(some))
    worst = max(some, key=lambda one: abs(one.dot.error))
    judged_by = "traces of real model code" if truth == TRACES else "published measurements"
    return (
        f"Estimates against {judged_by}, one dot a case: {listed}. Truths reach from "
        f"{units.binary(min(one.dot.truth for one in some))} to {units.binary(max(one.dot.truth for one in some))}. "
        f"The worst is {worst.dot.name}: {percent(worst.dot.error)}."
    )


def rows(some: Sequence[Case]) -> dict[str, list[Any]]:
    """The cases as columns of a table, in the order of ``some``."""
    return {
        "case": [one.dot.name for one in some],
        "family": [one.family for one in some],
        "task": [one.settings["task"] for one in some],
        "truth, GiB": [units.gib(one.dot.truth) for one in some],
        "estimate, GiB": [units.gib(one.dot.estimated) for one in some],
        "error, %": [100 * one.dot.error for one in some],
    }


@lru_cache(maxsize=256)
def _catalogue_name(model: str) -> str | None:
    """The catalogue's model of the same architecture and sizes. ``model`` as JSON."""
    spec = describe(json.loads(model), allow_files=False).spec
    return next((name for name in catalogue.names() if catalogue.describe(name).spec == spec), None)


def page_scenario(case: Case) -> dict[str, Any] | None:
    """The case's scenario with the catalogue's name for its model, as the pages take it; None where it has none."""
    model = case.scenario["model"]
    if is_pipeline(case.scenario):
        return None
    name = model if isinstance(model, str) else _catalogue_name(json.dumps(model))
    return {**case.scenario, "model": name} if name else None
