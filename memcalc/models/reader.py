"""Checked values out of a Hugging Face configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.architectures.layers import KNOWN_ACTIVATIONS
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ModelError

FIELD = "model.config"
LARGEST = {"num_hidden_layers": 10_000}
LARGEST_DIMENSION = 100_000_000


Read = Callable[[Mapping[str, Any]], tuple[ModelSpec, list[str]]]


@dataclass(frozen=True, slots=True)
class Family:
    """How one ``model_type`` is read, the head that it usually has, and all heads that have a program (none given: only
    that one)."""

    read: Read
    head: str
    heads: tuple[str, ...] = ()


class Reader:
    """Reads checked values out of a configuration; keeps what it had to assume."""

    def __init__(self, config: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.names = names or {}
        self.assumptions: list[str] = []

    def _get(self, name: str) -> tuple[str, Any]:
        own = self.names.get(name, name)
        if own in self.config:
            return own, self.config[own]
        return (name, self.config[name]) if name in self.config else (own, None)

    def size(self, name: str, default: int | None = None, required: bool = True) -> int:
        """A positive whole number."""
        own, value = self._get(name)
        if value is None:
            if default is None and required:
                raise ModelError(f"config.json lacks {own}", f"{FIELD}.{own}")
            if default is not None and required:
                self.assumptions.append(f"{own} is not in the configuration: transformers' default {default} is taken")
            return default or 0
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        limit = LARGEST.get(name, LARGEST_DIMENSION)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= limit:
            raise ModelError(f"{own} must be a whole number from 1 to {limit:,}, not {shown(value)}", f"{FIELD}.{own}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        own, value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ModelError(f"{own} must be true or false, not {shown(value)}", f"{FIELD}.{own}")
        return value

    def probability(self, name: str, default: float) -> float:
        own, value = self._get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ModelError(f"{own} must be a number from 0 to below 1, not {shown(value)}", f"{FIELD}.{own}")
        return float(value)

    def activation(self, name: str, default: str) -> str:
        own, value = self._get(name)
        value = default if value is None else value
        if value not in KNOWN_ACTIVATIONS:
            raise ModelError(f"the activation {shown(value)} has no program yet", f"{FIELD}.{own}", KNOWN_ACTIVATIONS)
        return str(value)


def named_head(config: Mapping[str, Any], usual: str) -> str:
    """The head that ``architectures`` names (checked before), else the family's usual one."""
    named = config.get("architectures")
    return str(named[0]) if named else usual


MOST_LABELS = 10_000_000


def labels(config: Mapping[str, Any]) -> int:
    """How many labels a classifier tells apart: transformers' own 2 where the configuration does not say."""
    for name, value in (("num_labels", config.get("num_labels")), ("id2label", config.get("id2label"))):
        if value is None:
            continue
        count = len(value) if isinstance(value, Mapping) else value
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MOST_LABELS:
            raise ModelError(f"{name} must say how many labels there are", f"{FIELD}.{name}")
        return count
    return 2


class View(Mapping[str, Any]):
    """A configuration with entries ``hidden``, replaced (``over``) or added where there are none (``under``). Nothing
    is copied: what is never asked for is never read (``memcalc.models.portable``)."""

    def __init__(
        self,
        config: Mapping[str, Any],
        hidden: Collection[str] = (),
        over: Mapping[str, Any] | None = None,
        under: Mapping[str, Any] | None = None,
    ) -> None:
        self._config, self._hidden, self._over, self._under = config, hidden, over or {}, under or {}

    def __getitem__(self, name: str) -> Any:
        if name in self._over:
            return self._over[name]
        if name in self._config and name not in self._hidden:
            return self._config[name]
        return self._under[name]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self._over, *(one for one in self._config if one not in self._hidden), *self._under))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def finite(value: Any) -> bool:
    """Whether ``value`` is a number that is neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
