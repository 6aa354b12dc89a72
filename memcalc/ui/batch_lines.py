"""Memory over the batch, training and inference: each line from a sweep. No Streamlit in here.

Whoever moves the batch asks for the same lines again, and whoever moves the length for lines that one run of the
program has found together: a sweep over all lengths of the slider costs hardly more than one over the batch alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import memcalc
from memcalc.errors import MemcalcError
from memcalc.hardware.live import is_live
from memcalc.scenario.paths import Json, get, put
from memcalc.solve import line
from memcalc.sweep import Sweep, lengths_are_free
from memcalc.ui import catalogues, options
from memcalc.ui.state import Settings

LENGTH = {"train": "seq_len", "infer": "inference.prompt_tokens"}
"""Where each task's scenario says how long a sequence is."""


@dataclass(frozen=True)
class Over:
    """Device memory (bytes) of a run for each batch from 1 on: the point and its range."""

    title: str
    point: list[int]
    low: list[int]
    high: list[int]

    @cached_property
    def line(self) -> line.Line:
        """Its fixed part, its slope, and where they begin to hold."""
        return line.through(self.point)

    def largest(self, limit: int) -> int:
        """The largest batch whose whole range is within ``limit`` bytes; 0 if none is."""
        return sum(1 for size in self.high if size <= limit)


def lines(settings: Settings, batches: Sequence[int]) -> tuple[list[Over], list[MemcalcError]]:
    """Both runs over the batches; and what the core refused."""
    found, refused = [], []
    for title, of in (("Training", Settings.training), ("Inference", Settings.inference)):
        scenario = of(settings)
        path = LENGTH[scenario["task"]]
        lengths = sorted({int(get(of(replace(settings, seq_len=one)), path)) for one in options.LENGTHS})
        try:
            found.append(Over(title, *_found(scenario, path, tuple(lengths), tuple(batches))))
        except MemcalcError as error:
            refused.append(error)
    return found, refused


def _found(
    scenario: Json, path: str, lengths: tuple[int, ...], batches: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]]:
    """The point, its low and its high end over the batches. Nothing is remembered about a GPU of this machine: what is
    free there changes by the second."""
    if is_live(str(get(scenario, "hardware.gpu") or "")):
        one = memcalc.sweep(scenario, False, catalogues.machine(), batch=list(batches))
        return one.device.tolist(), one.device_low.tolist(), one.device_high.tolist()
    length = int(get(scenario, path))
    asked = {**scenario, "batch": batches[0]}
    all_lengths = _over_lengths(json.dumps(put(asked, path, lengths[0])), path, lengths, batches)
    if all_lengths is None or length not in lengths:
        one = _over_batches(json.dumps(asked), batches)
        return one.device.tolist(), one.device_low.tolist(), one.device_high.tolist()
    at, many = lengths.index(length), all_lengths
    return many.device[:, at].tolist(), many.device_low[:, at].tolist(), many.device_high[:, at].tolist()


@lru_cache(maxsize=128)
def _over_batches(asked: str, batches: tuple[int, ...]) -> Sweep:
    return memcalc.sweep(json.loads(asked), False, None, batch=list(batches))


@lru_cache(maxsize=128)
def _over_lengths(asked: str, path: str, lengths: tuple[int, ...], batches: tuple[int, ...]) -> Sweep | None:
    """All lengths at once; None where that would cost much more than one, or is refused for the longest."""
    scenario = json.loads(asked)
    try:
        if not lengths_are_free(scenario, False):
            return None
        return memcalc.sweep(scenario, False, None, batch=list(batches), **{path.split(".")[-1]: list(lengths)})
    except MemcalcError:
        return None
