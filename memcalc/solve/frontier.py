"""The frontier of a pair: for each value of one number, the largest value of another that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memcalc.scenario.paths import put
from memcalc.shared import Shared
from memcalc.solve.largest import largest
from memcalc.solve.quantities import quantity


@dataclass(frozen=True, slots=True)
class Frontier:
    """``points``: (a value of ``along``, the largest value of ``of`` that fits beside it; 0: none)."""

    along: str
    of: str
    points: tuple[tuple[int, int], ...]


def frontier(
    scenario: Mapping[str, Any],
    along: str,
    of: str,
    values: Sequence[int],
    allow_files: bool = True,
    shared: Shared | None = None,
) -> Frontier:
    """For each of ``values`` of the number at ``along`` the largest value of the number at ``of``.

    >>> asked = {"model": "gpt2", "task": "train", "hardware": {"gpu": "24GB"}}
    >>> frontier(asked, "batch", "seq_len", [1, 64]).points[1][1] < 1024
    True
    """
    one, other = quantity(scenario, along), quantity(scenario, of)
    shared = shared or Shared()
    points = []
    for value in values:
        found = largest(put(dict(scenario), one.path, value), other.path, allow_files, shared, check=False)
        points.append((value, found.value))
    return Frontier(one.path, other.path, tuple(points))
