"""From a ledger's raw log to a ``Trace``: peaks, phases, components."""

from __future__ import annotations

import bisect
from collections.abc import Mapping

from memcalc.components import COMPONENTS
from memcalc.trace.ledger import Ledger
from memcalc.trace.result import Event, Trace, live_at, phase_kind, phase_step


def read_ledger(ledger: Ledger, parameters: Mapping[str, int], kernels: Mapping[str, int]) -> Trace:
    """Read the peak, its phase and its components off the event log.

    A phase's peak is its largest instant, the one in which it begins included; phases in which nothing is
    allocated or freed are left out. Ties go to the earliest instant.
    """
    names = [name for name, _ in ledger.marks]
    starts = [start for _, start in ledger.marks]
    records = {record.id: record for record in ledger.records}
    events: list[Event] = []
    live = 0
    peak, peak_time, peak_phase = -1, 0, ""
    phases: dict[str, int] = {}
    by_component = dict.fromkeys(COMPONENTS, 0)
    largest = dict.fromkeys(COMPONENTS, 0)
    for time, (size, storage) in enumerate(ledger.events):
        record = records[storage]
        component = "temporary" if record.component == "inputs" else record.component
        phase = names[bisect.bisect_right(starts, time) - 1]
        if phase not in phases:
            phases[phase] = live
        live += size
        phases[phase] = max(phases[phase], live)
        by_component[component] += size
        largest[component] = max(largest[component], by_component[component])
        if live > peak:
            peak, peak_time, peak_phase = live, time, phase
        made = (record.op, record.shape, record.dtype, record.module, record.node)
        events.append(Event(time, size, storage, component, phase, *made))
    log = tuple(events)
    alive = live_at(log, peak_time)
    at_peak = dict.fromkeys(COMPONENTS, 0)
    for tensor in alive:
        at_peak[tensor.component] += tensor.size
    return Trace(
        parameters=dict(parameters),
        persistent=sum(largest[name] for name in ("weights", "gradients", "optimizer")),
        tensors=peak,
        phase=phase_kind(peak_phase),
        step=phase_step(peak_phase),
        time=peak_time,
        at_peak=at_peak,
        component_peak=largest,
        phases=phases,
        live_at_peak=alive,
        events=log,
        kernels=dict(kernels),
    )
