"""A serving runtime's memory in the words of an estimate: stages, sums, verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from memcalc.hardware.fit import Device, judge
from memcalc.overhead import Overhead
from memcalc.question import Question
from memcalc.runtimes.served import Served
from memcalc.scenario import Hardware
from memcalc.stages import Stage


def stages_of(served: Served) -> list[Stage]:
    """Load, prefill and decode. A server takes its cache and buffers once and keeps them, so prefill and decode are
    alike in memory."""
    return [
        Stage("load", 0, {"weights": served.weights}, [], []),
        Stage("prefill", 1, dict(held(served)), [], []),
        Stage("decode", 2, dict(held(served)), [], []),
    ]


def held(served: Served) -> dict[str, int]:
    """What lives while it serves, by component."""
    return {"weights": served.weights, "kv_cache": served.cache, "temporary": served.buffer[1]}


def overhead_of(served: Served, device: Device | None, hardware: Hardware) -> Overhead:
    """The sums above the tensors."""
    return Overhead(
        workspace=0,
        context=served.outside[1],
        communication=0,
        allocated=served.tensors,
        reserved=served.reserved,
        device=served.device if device is None else served.judged(device.capacity - hardware.reserve),
        reasons=(),
    )


def fit_of(served: Served, device: Device, hardware: Hardware, above: Overhead) -> dict[str, Any]:
    """The verdict, with the runtime's own limit; ``headroom`` is what it leaves above the need."""
    found = judge(device, hardware, above.device)
    limit = device.capacity - hardware.reserve
    if served.limit is not None:
        limit = min(limit, served.limit)
    return {**found, "limit": limit, "headroom": limit - served.needed[1]}


def settled(question: Question, served: Served) -> dict[str, Any]:
    """The scenario as understood, with the runtime's defaults filled in."""
    scenario = question.scenario
    return replace(scenario, inference=replace(scenario.inference, server=served.settings)).as_dict()
