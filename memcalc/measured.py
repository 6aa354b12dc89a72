"""Published measurements on real cards, each with the scenario that says the same run (``data/measured*.json``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from memcalc.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Measurement:
    """One published figure."""

    id: str
    source: str
    measured: int
    """Bytes."""
    digits: float
    """Bytes by which the printed figure may be off for its rounding."""
    what: str
    """``allocated``, ``reserved`` or ``device``: which of the estimate's sums the source measured; or, of a runtime's
    log, ``runtime.kv_buffer`` and the like."""
    gpu: str
    software: str
    scenario: dict[str, Any]
    differs: str = ""
    """What the source's run has that the scenario cannot say; empty where the code is the one that is meant."""


LIMITS = {
    "model_buffer": 0.005, "cpu_model_buffer": 0.005, "kv_buffer": 0.0, "compute_buffer": 0.1,
    "host_compute_buffer": 0.02, "weights": 0.02, "kv_cache": 0.02, "available_kv_cache": 0.02, "activation": 0.5,
    "cuda_graphs": 0.75,
}  # fmt: skip
"""How far a runtime's own figure may lie from the estimate, as a share of it: what memcalc claims. The activation peak
and the graphs are rough guesses where no log gives them."""
FILES = ("measured.json", "measured_inference.json")


@lru_cache(maxsize=1)
def measurements() -> tuple[Measurement, ...]:
    """All of them, in the files' order."""
    folder = files("memcalc").joinpath("data")
    return tuple(Measurement(**one) for name in FILES for one in json.loads(folder.joinpath(name).read_text("utf-8")))


def figure(answer: Estimate, what: str) -> tuple[int, int, int]:
    """(low, point, high) of what was measured: one of the estimate's sums, or of the runtime's own figures."""
    if not what.startswith("runtime."):
        low, high = answer.range[what]
        return low, answer.peak[what], high
    name = what.removeprefix("runtime.")
    assert answer.runtime is not None
    point = int(answer.runtime[name])
    return round(point * (1 - LIMITS[name])), point, round(point * (1 + LIMITS[name]))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Published training runs that no scenario can say."""

    count: int
    ids: str
    source: str
    what: str
    why: str


@lru_cache(maxsize=1)
def left_out() -> tuple[LeftOut, ...]:
    """``data/measured_left_out.json``, in its order."""
    raw = files("memcalc").joinpath("data/measured_left_out.json").read_text("utf-8")
    return tuple(LeftOut(**one) for one in json.loads(raw))
