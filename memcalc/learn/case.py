"""The reader's case: a model and the values of a lesson's variables, and what the core says about a scenario."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import memcalc
from memcalc import units
from memcalc.architectures.spec import ModelSpec
from memcalc.components import COMPONENTS
from memcalc.components import OVERHEAD as OVERHEAD
from memcalc.estimate import Estimate
from memcalc.models import describe

Json = dict[str, Any]


@dataclass(frozen=True)
class Own:
    """A model that the reader brought: what its list calls it, and the scenario's ``model``, which describes it."""

    label: str
    described: Mapping[str, Any]


Model = str | int | Own
"""What a lesson is about: a name of the catalogue, a number of parameters, or a model of the reader's own."""


@dataclass(frozen=True)
class Case:
    """``model``, and in ``values`` each variable's value by its key."""

    model: Model
    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def at(self, **values: Any) -> Case:
        """The same case with other values."""
        return replace(self, values={**self.values, **values})

    def beside(self, names: Sequence[str]) -> list[Case]:
        """The same for other models, by name, and then for the reader's where it is none of them."""
        own = [] if self.sized or self.model in names else [self]
        return [*(replace(self, model=name) for name in names), *own]

    @property
    def name(self) -> str:
        """What to call the model: ``Llama-3.1-8B``, ``a model of 7.00 billion parameters``."""
        if isinstance(self.model, Own):
            return self.model.label
        return f"a model of {units.count(self.model)} parameters" if isinstance(self.model, int) else self.model

    @property
    def begins(self) -> str:
        """The model's name where a sentence begins."""
        return self.name[0].upper() + self.name[1:] if self.sized else self.name

    @property
    def sized(self) -> bool:
        """Whether nothing but the model's size is known."""
        return isinstance(self.model, int)

    @property
    def described(self) -> Any:
        """The model as a scenario has it."""
        if isinstance(self.model, Own):
            return dict(self.model.described)
        return {"parameters": self.model} if isinstance(self.model, int) else self.model

    @cached_property
    def spec(self) -> ModelSpec:
        """The model's sizes."""
        return describe(self.described, False).spec

    @cached_property
    def longest(self) -> int | None:
        """The most tokens that the model has learned positions for; None where nothing ends there."""
        return None if self.sized else self.spec.longest

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
        return {"model": self.described, "batch": batch, "precision": precision}


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
