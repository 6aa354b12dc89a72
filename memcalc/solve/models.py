"""The largest model that fits: of a family, or of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.architectures.layers import Maker
from memcalc.architectures.programs import PROGRAMS
from memcalc.diffusion import is_pipeline
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.formats import Format
from memcalc.models import catalogue, describe
from memcalc.models.families import SIZES, families, family
from memcalc.scenario.paths import put
from memcalc.shared import Shared
from memcalc.solve.verdict import Verdict, verdict

ANY = "any size"
"""The family of decoders that are known by their size only."""


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """A model and the card's verdict on it; ``refusal`` where the scenario is impossible with it."""

    model: Any
    name: str
    parameters: int
    verdict: Verdict | None
    refusal: str = ""


def models_that_fit(
    scenario: Mapping[str, Any], of: str | None = None, allow_files: bool = True, shared: Shared | None = None
) -> list[ModelVerdict]:
    """The verdict on every model of a family (the scenario model's own, if none is named), from the largest down.

    >>> [one.name for one in models_that_fit({"model": "gpt2", "hardware": {"gpu": "8GB"}}) if one.verdict.fits]
    ['gpt2-xl', 'gpt2-large', 'gpt2-medium', 'gpt2']
    """
    shared, found = shared or Shared(), []
    for model, name, parameters in reversed(_members(scenario, of, allow_files)):
        try:
            found.append(ModelVerdict(model, name, parameters, _judged(scenario, model, shared, allow_files)))
        except ScenarioError as error:
            if error.field.startswith("hardware"):
                raise
            found.append(ModelVerdict(model, name, parameters, None, error.message))
    return found


def largest_model(
    scenario: Mapping[str, Any], of: str | None = None, allow_files: bool = True, shared: Shared | None = None
) -> ModelVerdict | None:
    """The largest model of a family that fits; None if none does."""
    return next(
        (one for one in models_that_fit(scenario, of, allow_files, shared) if one.verdict and one.verdict.fits), None
    )


def _judged(scenario: Mapping[str, Any], model: Any, shared: Shared, allow_files: bool) -> Verdict:
    shared.tapes.clear()
    return verdict(put(dict(scenario), "model", model), shared, allow_files)


def _members(scenario: Mapping[str, Any], of: str | None, allow_files: bool) -> list[tuple[Any, str, int]]:
    """(the scenario's model, its name, its parameters), from the smallest up."""
    model = scenario.get("model")
    if of is None and is_pipeline(scenario):
        return []  # pipelines differ in more than size
    if of is None and isinstance(model, Mapping) and "parameters" not in model:
        return [(model, *_described(model, allow_files))]  # no family of it is known
    if of is None:
        of = ANY if isinstance(model, Mapping) and "parameters" in model else family(_named(model))
    if of == ANY:
        return [({"parameters": size}, f"{size:,} parameters", size) for size in SIZES]
    if of not in families():
        raise ScenarioError(f"the catalogue has no family called {of[:60]!r}", "model", [*families(), ANY])
    return [(name, name, catalogue.entries()[name].parameters) for name in families()[of]]


def _described(model: Mapping[str, Any], allow_files: bool) -> tuple[str, int]:
    """Name and parameters of a model that is not of the catalogue."""
    found = describe(model, allow_files)
    program = PROGRAMS[found.spec.family](found.spec, Maker(Format.BF16))
    return found.name, sum(one.count * one.repeat for one in program.parameters)


def _named(model: Any) -> str:
    try:
        return catalogue.find(model).name if isinstance(model, str) else ""
    except MemcalcError:
        return ""
