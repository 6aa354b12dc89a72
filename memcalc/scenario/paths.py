"""A scenario's JSON object by dotted paths: ``"training.lora.r"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def get(scenario: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None.

    >>> get({"training": {"lora": {"r": 8}}}, "training.lora.r")
    8
    """
    found: Any = scenario
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def put(scenario: Json, path: str, value: Any) -> Json:
    """A copy of the scenario with one value changed; None takes it out.

    >>> put({"batch": 1}, "training.method", "lora")
    {'batch': 1, 'training': {'method': 'lora'}}
    """
    name, _, rest = path.partition(".")
    if rest:
        return {**scenario, name: put(scenario.get(name) or {}, rest, value)}
    if value is None:
        return {key: held for key, held in scenario.items() if key != name}
    return {**scenario, name: value}
