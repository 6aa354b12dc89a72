"""What an estimate may know about the machine it is asked on: a reading of its GPUs, and what was measured on them.

It is given to ``memcalc.estimate`` explicitly. Without it, a scenario that names ``live:0`` reads the GPUs once and
uses the catalogue's figures for context, workspaces and allocator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memcalc.hardware import nvml
from memcalc.hardware.calibration import Calibration, Kept, load
from memcalc.hardware.live import LiveGpu, LiveGpus, is_live
from memcalc.hardware.worker import read_within


@dataclass(frozen=True)
class Machine:
    """A reading of this machine's GPUs, calibrations to use, and a process that is not among "the others": the one
    whose memory is being estimated (by its number on the device's list)."""

    reading: LiveGpus
    calibrations: tuple[Calibration, ...] = ()
    watched: int | None = None

    def calibration(self, gpu: LiveGpu) -> Calibration | None:
        """The calibration that holds for a device: of the same UUID, under the same driver."""
        return next(
            (one for one in self.calibrations if one.uuid == gpu.uuid and one.driver == self.reading.driver), None
        )

    def watched_bytes(self, gpu: LiveGpu) -> int:
        """What the watched process holds on a device."""
        return sum(one.memory or 0 for one in gpu.processes or () if one.pid == self.watched)


def as_read() -> Machine:
    """The GPUs as they are, with the catalogue's figures."""
    return Machine(nvml.read())


def here() -> Machine:
    """The GPUs as they are, read where a hanging driver does no harm, with what was measured on them."""
    kept: Kept = load()
    return Machine(read_within(), kept.calibrations)


def for_scenario(scenario: object) -> Machine | None:
    """What a command hands over with a scenario (a JSON object): ``here()`` if it names a GPU of this machine."""
    hardware = scenario.get("hardware") if isinstance(scenario, Mapping) else None
    return here() if isinstance(hardware, Mapping) and is_live(hardware.get("gpu")) else None
