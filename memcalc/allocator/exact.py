"""An estimate whose ``reserved`` is replayed instead of the closed form of ``memcalc.overhead``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memcalc.allocator.expand import replay_scenario
from memcalc.estimate import Estimate, estimate
from memcalc.hardware.fit import device_for, judge
from memcalc.hardware.machine import Machine
from memcalc.overhead import UNEXPLAINED, up_to
from memcalc.scenario import Scenario
from memcalc.units import MiB


def replayed(
    scenario: Mapping[str, Any] | Scenario, allow_files: bool = True, machine: Machine | None = None
) -> Estimate:
    """``estimate``, with ``allocated`` and ``reserved`` from an exact replay of the run's event log through a simulated
    caching allocator, and what follows from them. Tenths of a second instead of milliseconds.

    >>> found = replayed({"model": "gpt2", "task": "train", "seq_len": 128})
    >>> found.range["reserved"][0] <= found.peak["reserved"] <= found.range["reserved"][1]
    True
    """
    checked = Scenario.read(scenario)
    quick = estimate(checked, allow_files, machine)
    run = replay_scenario(checked, allow_files, checked.expandable_segments, machine)
    context = quick.peak["device"] - quick.peak["reserved"]
    below, above = (quick.range["device"][i] - quick.range["reserved"][i] for i in (0, 1))
    least = int(up_to(run.allocated, 2 * MiB))
    most = round(run.reserved * (1 + UNEXPLAINED))
    device_range = (least + below, run.reserved + context, most + above)
    found = device_for(checked.hardware, machine)
    return replace(
        quick,
        peak={
            **quick.peak,
            "allocated": run.allocated,
            "reserved": run.reserved,
            "device": device_range[1],
        },
        range={
            "allocated": [
                min(quick.range["allocated"][0], run.allocated),
                max(quick.range["allocated"][1], run.allocated),
            ],
            "reserved": [least, most],
            "device": [device_range[0], device_range[2]],
        },
        overhead={**quick.overhead, "cache": run.reserved - run.allocated},
        fit=judge(found, checked.hardware, device_range) if found is not None else None,
        assumptions=[
            *(one for one in quick.assumptions if not one.startswith("allocator: ")),
            f"reserved: every tensor of the run replayed through a simulated caching allocator, {run.segments:,} "
            "segments; not measured on a card. Its low end is what expandable segments would need",
        ],
    )  # fmt: skip
