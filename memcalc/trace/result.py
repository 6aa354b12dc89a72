"""What a trace says: frozen values read off the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PHASES = {
    "load": "load",
    "opt_init": "load",
    "fwd": "forward",
    "fwd_end": "forward",
    "bwd": "backward",
    "opt": "optimizer",
    "zero_grad": "optimizer",
    "prefill": "prefill",
    "decode_first": "decode",
    "fast_forward": "decode",
    "decode_last": "decode",
    "forward": "forward",
    "end": "end",
}


@dataclass(frozen=True)
class Event:
    """One allocation (positive ``size``) or free (negative) of a storage, bytes rounded up to 512."""

    time: int
    size: int
    storage: int
    component: str
    phase: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    module: str = ""
    node: str = ""


@dataclass(frozen=True)
class LiveTensor:
    """A storage that is alive at the peak: its size in bytes, what it is for, who made it, and when."""

    size: int
    component: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    phase: str
    storage: int
    module: str = ""
    node: str = ""


@dataclass(frozen=True)
class Trace:
    """A run on the fake GPU. Sizes in bytes; every tensor rounded up to 512."""

    parameters: Mapping[str, int]
    persistent: int
    tensors: int
    phase: str
    step: int
    time: int
    at_peak: Mapping[str, int]
    component_peak: Mapping[str, int]
    phases: Mapping[str, int]
    live_at_peak: tuple[LiveTensor, ...]
    events: tuple[Event, ...]
    kernels: Mapping[str, int]

    @property
    def log(self) -> list[tuple[int, int]]:
        """The bare log, (signed bytes, storage) in order of time: what ``memcalc.allocator.replay`` takes."""
        return [(event.size, event.storage) for event in self.events]

    def expect(self) -> dict[str, object]:
        """The trace as a record of expectations: the form of the published trace files."""
        return {
            "parameters": dict(self.parameters),
            "persistent": self.persistent,
            "tensors": self.tensors,
            "phase": self.phase,
            "step": self.step,
            "at_peak": dict(self.at_peak),
            "phases": dict(self.phases),
        }


def phase_kind(name: str) -> str:
    """The contract's name of a traced phase: ``iter2.mb1.bwd`` is ``backward``."""
    return PHASES[name.rpartition(".")[2]]


def phase_step(name: str) -> int:
    """The iteration of a traced phase, 1 outside iterations."""
    head = name.partition(".")[0]
    return int(head.removeprefix("iter")) if head.startswith("iter") else 1


def live_at(events: tuple[Event, ...], time: int) -> tuple[LiveTensor, ...]:
    """The storages alive right after the event at ``time``, largest first."""
    alive: dict[int, Event] = {}
    for event in events[: time + 1]:
        if event.size > 0:
            alive[event.storage] = event
        else:
            alive.pop(event.storage, None)
    found = [
        LiveTensor(e.size, e.component, e.op, e.shape, e.dtype, e.phase, e.storage, e.module, e.node)
        for e in alive.values()
    ]
    return tuple(sorted(found, key=lambda t: (-t.size, t.storage)))
