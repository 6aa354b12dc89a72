"""What a checkpoint that was published quantised means for a scenario.

Its own format is what ``inference.weights`` stands for unless something else is named; ``dequantized`` has it in the
precision's format, as ``from_pretrained(…, dequantize=True)`` loads it. Training goes over bitsandbytes' 4 bits as they
are (QLoRA); from every other format it begins with dequantized weights, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memcalc.errors import ScenarioError
from memcalc.models import ModelDescription, describe
from memcalc.quantisation import CHOICES, DEQUANTIZED, SAME, mixture_of, scheme_for
from memcalc.quantisation.published import Published
from memcalc.scenario import Scenario
from memcalc.scenario.running import GGUF_ONLY
from memcalc.scenario.training import BASE_WEIGHTS


def settled(scenario: Scenario, model: ModelDescription, assumptions: list[str]) -> Scenario:
    """``scenario`` with its weights as the checkpoint has them; what is decided is added to ``assumptions``."""
    stored = model.published
    if scenario.task == "train":
        return _trained(scenario, stored, assumptions)
    weights = scenario.inference.weights
    if stored is None:
        if weights != DEQUANTIZED:
            return scenario
        assumptions.append("inference.weights: the checkpoint is not quantised, so there is nothing to dequantize")
        return _stored_as(scenario, SAME)
    if weights == DEQUANTIZED:
        assumptions.append(
            f"weights: the checkpoint is published in {name(stored)}; they are dequantized to {scenario.precision} as "
            "they are loaded, as inference.weights says"
        )
        return _stored_as(scenario, SAME)
    if weights == SAME:
        if scenario.inference.runtime in GGUF_ONLY:
            raise ScenarioError(
                f"{scenario.inference.runtime} reads GGUF files, and this checkpoint is in {name(stored)}: name the "
                "format of the GGUF file that was made of it",
                "inference.weights",
                [one for one in CHOICES if mixture_of(one)],
            )
        if stored.weights is None:
            raise ScenarioError(
                f"{stored.refusal}; with inference.weights another format is taken", "inference.weights",
                [DEQUANTIZED, *(one for one in CHOICES if scheme_for(one))],
            )  # fmt: skip
        assumptions.append(f"weights: as the checkpoint is published, {name(stored)}: its quantization_config says so")
        assumptions += stored.notes
        return _stored_as(scenario, stored.weights)
    if weights == stored.weights:
        assumptions += stored.notes
    else:
        assumptions.append(
            f"weights: the checkpoint is published in {name(stored)}, but inference.weights says {weights}: taken as "
            "if made of the original weights"
        )
    return scenario


def of(model: Any) -> Published | None:
    """How the checkpoint of a scenario's ``model`` is quantised, as far as the model itself says: by its config."""
    if not isinstance(model, Mapping) or "config" not in model:
        return None
    return describe(model, False).published


def name(stored: Published) -> str:
    """What people call the checkpoint's format."""
    scheme = scheme_for(stored.weights) if stored.weights else None
    return scheme.label if scheme else stored.method


def _stored_as(scenario: Scenario, weights: str) -> Scenario:
    return replace(scenario, inference=replace(scenario.inference, weights=weights))


def _trained(scenario: Scenario, stored: Published | None, assumptions: list[str]) -> Scenario:
    training = scenario.training
    if stored is None or not stored.trains:
        if stored is not None:
            assumptions.append(
                f"weights: the checkpoint is published in {name(stored)}, which has no gradients here; trained are its "
                "original weights, as after loading them dequantized"
            )
        if training.method == "qlora" and training.base_weights is None:
            training = replace(training, base_weights=BASE_WEIGHTS[0])
        return replace(scenario, training=training)
    if training.method != "qlora":
        raise ScenarioError(
            f"the checkpoint is in {name(stored)}: its weights are frozen, qlora trains adapters beside them",
            "training.method",
            ["qlora"],
        )
    if training.base_weights in (None, stored.weights):
        assumptions.append(f"frozen weights: as the checkpoint is published, {name(stored)}")
        return replace(scenario, training=replace(training, base_weights=stored.weights))
    assumptions.append(
        f"frozen weights: the checkpoint is published in {name(stored)}, but training.base_weights says "
        f"{training.base_weights}: taken as if made of the original weights"
    )
    return scenario


__all__ = ["name", "of", "settled"]
