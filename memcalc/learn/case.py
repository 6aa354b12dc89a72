"""The reader's case: a model and the values of a lesson's variables, and what the core says about a scenario."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import memcalc
from memcalc import units
from memcalc.components import COMPONENTS
from memcalc.components import OVERHEAD as OVERHEAD
from memcalc.estimate import Estimate
from memcalc.models import catalogue

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """``model``: a catalogue name, or a number of parameters. ``values``: each variable's value by its key."""

    model: str | int
    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def at(self, **values: Any) -> Case:
        """The same case with other values."""
        return replace(self, values={**self.values, **values})

    @property
    def name(self) -> str:
        """What to call the model: ``Llama-3.1-8B``, ``a model of 7.00B parameters``."""
        return self.model if isinstance(self.model, str) else f"a model of {units.count(self.model)} parameters"

    @property
    def begins(self) -> str:
        """The model's name where a sentence begins."""
        return self.name if isinstance(self.model, str) else self.name[0].upper() + self.name[1:]

    @cached_property
    def longest(self) -> int | None:
        """The most tokens that the model has learned positions for; None where nothing ends there."""
        if isinstance(self.model, int):
            return None
        return catalogue.describe(self.model).spec.longest

    def reachable(self, tokens: int) -> int:
        """``tokens``, or as many as the model has positions for."""
        return tokens if self.longest is None else min(tokens, self.longest)

    def train(self, tokens: int, batch: int = 1, precision: str = "bf16-mixed", **training: Any) -> Json:
        """A training scenario of the contract."""
        return {
            **self._common(batch, precision),
            "task": "train",
            "seq_len": self.reachable(tokens),
            **({"training": training} if training else {}),
        }

    def infer(self, prompt: int, batch: int = 1, precision: str = "bf16", new: int = 1, **inference: Any) -> Json:
        """An inference scenario of the contract: ``new`` tokens after a prompt."""
        return {
            **self._common(batch, precision),
            "task": "infer",
            "inference": {"prompt_tokens": self.reachable(prompt + new - 1) - new + 1, "new_tokens": new, **inference},
        }

    def _common(self, batch: int, precision: str) -> Json:
        model = {"parameters": self.model} if isinstance(self.model, int) else self.model
        return {"model": model, "batch": batch, "precision": precision}


def ask(scenario: Mapping[str, Any]) -> Estimate:
    """The core's estimate; asked again, it is remembered."""
    return _remembered(json.dumps(scenario))


@lru_cache(maxsize=512)
def _remembered(asked: str) -> Estimate:
    return memcalc.estimate(json.loads(asked), False)


def swept(scenario: Mapping[str, Any], **axes: Sequence[int]) -> list[Any]:
    """Bytes on the card over a grid, as nested lists in the order of the axes; asked again, they are remembered."""
    return json.loads(_swept(json.dumps(scenario), json.dumps(axes)))  # type: ignore[no-any-return]


@lru_cache(maxsize=128)
def _swept(asked: str, axes: str) -> str:
    return json.dumps(memcalc.sweep(json.loads(asked), False, **json.loads(axes)).device.tolist())


def parts(found: Estimate, phase: str | None = None) -> dict[str, int]:
    """What is on the card at the highest instant (of ``phase``), by component, the overhead last; bytes."""
    at = found.at_peak
    if phase is not None:
        at = max((one for one in found.phases if one["name"] == phase), key=lambda one: int(one["tensors"]))["at_peak"]
    return {**{name: at[name] for name in COMPONENTS}, OVERHEAD: found.peak["device"] - found.peak["tensors"]}


def device(found: Estimate) -> int:
    """Bytes on the card at the highest instant."""
    return int(found.peak["device"])
