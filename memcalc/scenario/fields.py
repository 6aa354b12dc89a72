"""Checked values out of a JSON object, with errors that name the field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from memcalc.errors import ScenarioError

LARGEST_COUNT = 2**31 - 1
"""The longest dimension taken for batch, lengths and counts: torch indexes larger ones, nobody runs them."""


class Fields:
    """Reads checked values out of one object of the scenario, under its dotted path."""

    def __init__(self, raw: Any, path: str = "") -> None:
        if not isinstance(raw, Mapping):
            raise ScenarioError(f"{path} must be an object", path)
        self.raw = raw
        self.path = path
        self.seen: set[str] = set()

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Any:
        self.seen.add(name)
        return self.raw.get(name)

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            raise ScenarioError(
                f"{self.at(name)} must be one of the choices, not {shown(value)}", self.at(name), choices
            )
        return value

    def whole(self, name: str, default: int, low: int = 1, high: int = LARGEST_COUNT) -> int:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ScenarioError(
                f"{self.at(name)} must be a whole number from {low:,} to {high:,}, not {shown(value)}", self.at(name)
            )
        return value

    def fraction(self, name: str, default: float) -> float:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ScenarioError(
                f"{self.at(name)} must be a number from 0 to below 1, not {shown(value)}", self.at(name)
            )
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ScenarioError(
                f"{self.at(name)} must be true or false, not {shown(value)}", self.at(name), [True, False]
            )
        return value

    def finish(self, known: Sequence[str] = ()) -> None:
        for name in self.raw:
            if name not in self.seen and name not in known:
                raise ScenarioError(
                    f"unknown field {self.at(str(name))}", self.at(str(name)), sorted(self.seen | set(known))
                )


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
