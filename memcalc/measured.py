"""Published measurements on real cards, each with the scenario that says the same run (``data/measured.json``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


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
    """``allocated``, ``reserved`` or ``device``: which of the estimate's sums the source measured."""
    gpu: str
    software: str
    scenario: dict[str, Any]
    differs: str = ""
    """What the source's run has that the scenario cannot say; empty where the code is the one that is meant."""


@lru_cache(maxsize=1)
def measurements() -> tuple[Measurement, ...]:
    """All of them, in the file's order."""
    raw = json.loads(files("memcalc").joinpath("data/measured.json").read_text("utf-8"))
    return tuple(Measurement(**one) for one in raw)
