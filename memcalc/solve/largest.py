"""The largest value of one number that still fits, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.errors import MemcalcError
from memcalc.hardware.machine import Machine
from memcalc.scenario.paths import put
from memcalc.shared import Shared
from memcalc.solve.edge import Edge, edge
from memcalc.solve.quantities import Quantity, quantity
from memcalc.solve.verdict import Verdict, understood, verdict
from memcalc.sweep import sweep

NEAR = 32
"""How many values right above the edge are looked at one by one, for memory that falls again."""
DOUBLINGS = 10
"""How many doublings of the edge are looked at besides."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``value`` of ``quantity`` is the largest that fits (0: none does); ``at`` is the verdict there, ``next`` the one
    just above. ``why`` says what ends the values if it is not memory; ``again`` lists larger values that fit all the
    same, where memory falls again; ``looked`` counts the estimates."""

    quantity: Quantity
    value: int
    at: Verdict | None
    next: Verdict | None
    why: str
    again: tuple[int, ...]
    looked: int


def largest(
    scenario: Mapping[str, Any], path: str, allow_files: bool = True, shared: Shared | None = None, check: bool = True
) -> Answer:
    """The largest value of the number at ``path`` with all else as it is; "fits" is the contract's: the high end of the
    range is within the capacity minus the reserve. ``check``: look above the edge for memory that falls again.

    >>> largest({"model": "gpt2", "task": "train", "hardware": {"gpu": "8GB"}}, "batch").value
    4
    """
    wanted = quantity(scenario, path)
    try:
        asked = understood(scenario, allow_files)
    except MemcalcError:  # the number that is searched may be what is impossible now
        asked = understood(put(dict(scenario), wanted.path, wanted.low), allow_files)
    shared = shared or Shared()
    seen: dict[int, Verdict] = {}

    def excess(value: int) -> int:
        seen[value] = verdict(put(asked, wanted.path, value), shared, allow_files)
        shared.tapes.clear()  # each value has its own tape
        return seen[value].excess

    found = edge(excess, wanted.low, wanted.high)
    again = _again(asked, wanted, found, seen, allow_files, shared.machine) if check else ()
    value = found.value if found.value >= wanted.low else 0
    return Answer(wanted, value, seen.get(value), seen.get(found.value + 1), found.why, again, found.looked)


def _again(
    scenario: dict[str, Any],
    wanted: Quantity,
    found: Edge,
    seen: Mapping[int, Verdict],
    allow_files: bool,
    machine: Machine | None,
) -> tuple[int, ...]:
    """Values above the edge that fit all the same, among the nearest ones and the doublings."""
    if not wanted.axis or found.why:
        return ()
    first = found.value + 1
    values = sorted({*range(first, first + NEAR), *(first << power for power in range(1, DOUBLINGS))})
    limit = next(iter(seen.values())).limit
    while values:
        try:
            grid = sweep(scenario, allow_files, machine, **{wanted.axis: values})
        except MemcalcError:  # too large, or no such positions: fewer of them
            values = values[: len(values) // 2]
            continue
        return tuple(value for value, high in zip(values, grid.device_high.tolist(), strict=True) if high <= limit)
    return ()
