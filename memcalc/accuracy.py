"""How right the estimates are: against traces of real model code, and against published measurements.

The comparison with more than a thousand traces is made by a command (``python tests/accuracy.py --write``) and kept in
``data/accuracy.json``; a test sees that it is what the code says today. Measurements are few and estimated afresh.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from memcalc.components import COMPONENTS
from memcalc.diffusion import is_pipeline
from memcalc.estimate import estimate
from memcalc.measured import Measurement, figure, measurements


@dataclass(frozen=True, slots=True)
class TracedCase:
    """One scenario run by the tracer and estimated. Sizes in bytes; ``traced`` and ``estimated`` are
    ``peak.tensors``."""

    name: str
    family: str
    """The configuration's ``model_type``, or the package that a model has only a name in."""
    independent: bool
    """Whether an instrument that shares nothing with memcalc made the trace."""
    scenario: dict[str, Any]
    traced: int
    estimated: int
    at_peak: dict[str, int]
    """Of the trace, by component."""
    phase: str

    @property
    def error(self) -> float:
        """Of the estimate, relative to the trace."""
        return self.estimated / self.traced - 1


@dataclass(frozen=True, slots=True)
class Record:
    """The comparison with the traces as it was last made."""

    made: str
    version: str
    traced_with: str
    cases: tuple[TracedCase, ...]


@lru_cache(maxsize=1)
def record() -> Record:
    """``data/accuracy.json``: the models once each, then one case a line."""
    raw = json.loads(files("memcalc").joinpath("data/accuracy.json").read_text("utf-8"))
    cases = tuple(
        TracedCase(
            one["name"],
            family_of(raw["models"][one["model"]]),
            one.get("independent", False),
            {"model": raw["models"][one["model"]], **one["scenario"]},
            one["traced"],
            one["estimated"],
            dict(zip(COMPONENTS, one["at_peak"], strict=True)),
            one["phase"],
        )
        for one in raw["cases"]
    )
    return Record(raw["made"], raw["version"], raw["traced_with"], cases)


@dataclass(frozen=True, slots=True)
class MeasuredCase:
    """A published measurement and the estimate of the same sum (``allocated``, ``reserved`` or ``device``), bytes."""

    measurement: Measurement
    estimated: int
    low: int
    high: int

    @property
    def error(self) -> float:
        """Of the estimate, relative to the measurement."""
        return self.estimated / self.measurement.measured - 1

    @property
    def held(self) -> bool:
        """Whether the stated range holds the measurement, to the digits that were printed."""
        one = self.measurement
        return self.low - one.digits <= one.measured <= self.high + one.digits

    @property
    def width(self) -> float:
        """Of the stated range, relative to the estimate."""
        return (self.high - self.low) / self.estimated


@lru_cache(maxsize=1)
def measured() -> tuple[MeasuredCase, ...]:
    """Every published measurement, estimated."""
    found = []
    for one in measurements():
        answer = estimate(one.scenario, allow_files=False)
        low, point, high = figure(answer, one.what)
        found.append(MeasuredCase(one, point, low, high))
    return tuple(found)


GROUPS = tuple(
    f"{kind}{rest}" for kind in ("training", "inference", "image pipelines", "vllm's logs", "llama.cpp's logs")
    for rest in ("", ", code differs")
)  # fmt: skip
"""Kinds of measurement: of the code that is meant, or of code that does something else besides."""


def family_of(model: Mapping[str, Any]) -> str:
    """The configuration's ``model_type``; for a model by its name, the package that the name is of."""
    return str(model["config"]["model_type"] if "config" in model else next(iter(model)))


def group_of(case: MeasuredCase) -> str:
    """Which of GROUPS a measurement belongs to."""
    scenario, what = case.measurement.scenario, case.measurement.what
    task = "training" if scenario.get("task") == "train" else "inference"
    if is_pipeline(scenario):
        task = "image pipelines"
    if what.startswith("runtime."):
        task = f"{scenario['inference']['runtime']}'s logs"
    return f"{task}, code differs" if case.measurement.differs else task


@dataclass(frozen=True, slots=True)
class Summary:
    """Sizes of relative errors: how many, the middle, what 19 of 20 stay within, the largest."""

    count: int
    median: float
    most: float
    worst: float


def summary(errors: Iterable[float]) -> Summary:
    """Of at least one error.

    >>> summary([-0.5, 0.1, 0.2])
    Summary(count=3, median=0.2, most=0.5, worst=0.5)
    """
    sizes = sorted(abs(one) for one in errors)
    return Summary(len(sizes), statistics.median(sizes), sizes[-(-19 * len(sizes) // 20) - 1], sizes[-1])


def by_family(cases: Iterable[TracedCase]) -> dict[str, list[TracedCase]]:
    """The cases of each family, families in alphabetical order."""
    found: dict[str, list[TracedCase]] = {}
    for one in cases:
        found.setdefault(one.family, []).append(one)
    return dict(sorted(found.items()))


def by_group(cases: Sequence[MeasuredCase]) -> dict[str, list[MeasuredCase]]:
    """The measurements of each of GROUPS that has any."""
    found = {name: [one for one in cases if group_of(one) == name] for name in GROUPS}
    return {name: some for name, some in found.items() if some}


def settings_of(scenario: dict[str, Any]) -> dict[str, str]:
    """The settings of a scenario by which cases can be told apart, in words."""
    inner = scenario.get("training") or {} if scenario["task"] == "train" else scenario.get("inference") or {}
    found = {
        "precision": scenario.get("precision", "bf16"),
        "attention": scenario.get("attention", "sdpa"),
        "padding": "padded" if scenario.get("attention_mask") == "padded" else "none",
    }
    if scenario["task"] == "train":
        return found | {
            "method": inner.get("method", "full"),
            "optimizer": inner.get("optimizer", "adamw"),
            "step": inner.get("optimizer_impl", "foreach"),
            "checkpointing": inner.get("checkpointing", "none"),
            "accumulation": "yes" if inner.get("grad_accumulation", 1) > 1 else "no",
        }
    return found | {"runtime": inner.get("runtime", "transformers"), "logits": inner.get("logits", "last")}
