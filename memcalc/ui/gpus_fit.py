"""A scenario judged on this machine's cards as they are now, and a run that is watched. No Streamlit in here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import memcalc
from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.calibration import Calibration
from memcalc.hardware.fit import device_for, judge
from memcalc.hardware.live import LiveGpu, LiveGpus
from memcalc.hardware.machine import Machine
from memcalc.hardware.sampler import View
from memcalc.scenario import Hardware
from memcalc.ui.ledger import Run, run


@dataclass(frozen=True)
class Asked:
    """What the page is to judge: a scenario without hardware, as JSON, and what to call it."""

    title: str
    scenario: str
    model: str


@dataclass(frozen=True)
class Watched:
    """A process on a device: ``LiveGpu.key``, the process's number and its program."""

    key: str
    pid: int
    name: str


@dataclass(frozen=True)
class Judged:
    """The run on one card, its ``fit`` up to date; bytes others hold there, and those of the watched process."""

    run: Run
    others: int
    own: int | None = None
    own_peak: int | None = None
    measured: Calibration | None = None

    @property
    def usable(self) -> int:
        """What all processes together can use of the card."""
        return int(self.run.estimate["fit"]["total"] - self.run.estimate["fit"]["driver_keeps"])


@lru_cache(maxsize=256)
def _estimate(asked: Asked, capability: tuple[int, int] | None, calibration: Calibration | None) -> Run:
    """The estimate on a card like this one: it depends on nothing that changes from second to second."""
    uuid = calibration.uuid if calibration else None
    empty = LiveGpu(0, "0", uuid, "card", units.GiB, 0, units.GiB, 0, capability)
    like = Machine(
        LiveGpus(calibration.driver if calibration else None, (empty,), ""), (calibration,) if calibration else ()
    )
    scenario = {**json.loads(asked.scenario), "hardware": {"gpu": "live:0"}}
    return run(asked.title, memcalc.estimate(scenario, False, like).as_dict())


def judged(asked: Asked, machine: Machine, gpu: LiveGpu, view: View) -> Judged | str:
    """The scenario on ``gpu``, or the reason why there is no verdict."""
    try:
        calibration = machine.calibration(gpu)
        answer = _estimate(asked, gpu.compute_capability, calibration)
        card = device_for(Hardware(gpu.select), machine)
    except MemcalcError as error:
        return error.message
    assert card is not None
    peak = answer.estimate["peak"]["device"]
    fit = judge(card, Hardware(gpu.select), (answer.range[0], peak, answer.range[1]))
    found = Judged(replace(answer, estimate={**answer.estimate, "fit": fit}), card.others, measured=calibration)
    if machine.watched is None:
        return found
    return replace(found, own=machine.watched_bytes(gpu) or None, own_peak=most_of(view, gpu.key, machine.watched))


def most_of(view: View, key: str, pid: int) -> int | None:
    """The most that a process held on a device in the sampler's memory; None if it was never told."""
    held = [one.memory for _, gpu in view.series(key) for one in gpu.processes or () if one.pid == pid]
    return max((size for size in held if size is not None), default=None)


def summary(title: str, verdicts: Sequence[tuple[str, Judged | str]]) -> tuple[str, str]:
    """(state, sentence) over all the cards that were judged."""
    fits = [label for label, one in verdicts if not isinstance(one, str) and _state(one) == "fits"]
    tight = [label for label, one in verdicts if not isinstance(one, str) and _state(one) == "tight"]
    count = len(verdicts)
    if not count:
        return "unknown", "No card is chosen."
    if count == 1:
        return "unknown", f"{title}, on this card as it is now:"
    if len(fits) == count:
        return "fits", f"{title} fits on each of the {count} cards as they are now."
    if fits:
        more = f"; tight on {_named(tight)}" if tight else ""
        return "fits", f"{title} fits on {len(fits)} of {count} cards as they are now: {_named(fits)}{more}."
    if tight:
        return "tight", f"{title} is tight on {_named(tight)}, and fits on no card as they are now."
    return "does not fit", f"{title} fits on none of the {count} cards as they are now."


def _state(one: Judged) -> str:
    return str(one.run.estimate["fit"]["verdict"])


def _named(labels: Sequence[str]) -> str:
    return "GPU " + (", ".join(labels[:-1]) + " and " + labels[-1] if len(labels) > 1 else labels[0])


def difference(one: Judged, name: str) -> str:
    """The watched process beside the estimate, in words."""
    estimate, (low, high) = one.run.device, one.run.range
    if one.own is None:
        last = f" It held {units.binary(one.own_peak)} at most in the last minutes." if one.own_peak else ""
        return f"{name} is not on this card now, or the driver does not tell its memory.{last}"
    peak = max(one.own, one.own_peak or 0)
    away = peak - estimate
    said = f"{name} holds {units.binary(one.own)} now"
    said += f", {units.binary(peak)} at most in the last minutes" if peak > one.own * 1.005 else ""
    amount = f"{units.binary(abs(away))} ({abs(away) / estimate:.0%})"
    if abs(away) < 0.005 * estimate:
        said += f": as estimated ({units.binary(estimate)})"
    else:
        said += f": {amount} {'more' if away > 0 else 'less'} than the estimate of {units.binary(estimate)}"
    if low <= peak <= high:
        return f"{said}, within its range of {units.binary(low)} to {units.binary(high)}."
    if away < 0:
        return f"{said}. Its highest instant may still come, or the settings are not those of the run."
    return (
        f"{said}, above its range of {units.binary(low)} to {units.binary(high)}: compare the settings with the run's."
    )
