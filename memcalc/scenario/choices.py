"""What the core understands in a field, found out by asking it.

A field is asked for with an impossible value, and the refusal lists what is possible. What the core learns is
therefore offered everywhere by itself, on the pages and in advice, and what it refuses is offered nowhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from memcalc.errors import MemcalcError
from memcalc.scenario import Scenario
from memcalc.scenario.paths import put

IMPOSSIBLE = "?"
"""What no field of the scenario may be."""


def _probe(path: str, value: Any) -> MemcalcError | None:
    task = "infer" if path.startswith("inference.") else "train"
    scenario = put({"model": "gpt2", "task": task}, path, value)
    if path == "training.base_weights":
        scenario = put(scenario, "training.method", "qlora")
    elif path.startswith("training.lora"):
        scenario = put(scenario, "training.method", "lora")
    try:
        Scenario.read(scenario)
    except MemcalcError as error:
        return error
    return None


@lru_cache(maxsize=256)
def known_values(path: str) -> tuple[Any, ...]:
    """What the core understands in a field, as its refusal of an impossible value lists it."""
    error = _probe(path, IMPOSSIBLE)
    return tuple(error.choices) if error and error.field == path else ()


@lru_cache(maxsize=256)
def accepted(path: str, value: Any) -> bool:
    """Whether the core understands one value."""
    return _probe(path, value) is None
