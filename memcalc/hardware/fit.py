"""The verdict: does what a process needs fit what a card can give?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from memcalc.errors import HardwareError
from memcalc.hardware import gpus, machine
from memcalc.hardware.calibration import Calibration
from memcalc.hardware.live import choose, is_live
from memcalc.hardware.machine import Machine
from memcalc.scenario import Hardware
from memcalc.units import binary


@dataclass(frozen=True, slots=True)
class Device:
    """A card to judge against; sizes in bytes.

    ``capacity`` is what processes can use: what the driver reports (``total``) minus what it keeps
    (``driver_keeps``), and for a live card minus what others use now (``others``). ``calibration``: what was measured
    on a live card, if that is to be used.
    """

    name: str
    total: int
    driver_keeps: int
    others: int
    capability: float
    assumptions: tuple[str, ...] = ()
    calibration: Calibration | None = None

    @property
    def capacity(self) -> int:
        return self.total - self.driver_keeps - self.others


def device_for(hardware: Hardware, here: Machine | None = None) -> Device | None:
    """The card that ``hardware.gpu`` names: of the catalogue, a size, or ``live:N`` (its free memory now, as ``here``
    knows it; without it the GPUs are read); with ``hardware.free`` a card of which only so much is free."""
    if hardware.free is not None:
        return _partly_free(hardware, hardware.free, here)
    if hardware.gpu is None:
        return None
    if is_live(hardware.gpu):
        return _live(hardware.gpu, here or machine.as_read())
    card = gpus.find(hardware.gpu)
    capability = float(f"{card.compute_capability[0]}.{card.compute_capability[1]}") if card.compute_capability else 8.0
    notes = card.assumptions
    if card.vendor != "NVIDIA":
        notes = (*notes, f"{card.name}: workspaces, context and attention kernels are taken as on an NVIDIA card")
    return Device(card.name, card.total, card.reserved, 0, capability, notes)


def _partly_free(hardware: Hardware, free: int, here: Machine | None) -> Device:
    """A card of which ``free`` bytes are free, as somebody read them off it."""
    note = f"capacity is the {binary(free)} that were given as free"
    named = device_for(replace(hardware, free=None), here)
    if named is None:
        note += "; the card is not named: workspaces, context and attention kernels are those of compute capability 8.0"
        return Device("your card", free, 0, 0, 8.0, (note,))
    taken = named.total - named.driver_keeps - free
    if taken < 0:
        # No card has more free than it holds; another driver or setting (ECC) reports another total.
        note += f", more than is known of the {named.name}"
        return replace(named, total=free, driver_keeps=0, others=0, assumptions=(*named.assumptions, note))
    return replace(named, others=taken, assumptions=(*named.assumptions, note))


def _live(name: str, machine: Machine) -> Device:
    card = choose(machine.reading, name)
    if card.free is None:
        why = card.reasons.get("free", "the driver does not say how much memory is free")
        choices = [gpu.select for gpu in machine.reading.gpus if gpu.free is not None]
        raise HardwareError(f"{name}: {why}", "hardware.gpu", choices)
    capability, notes = 8.0, [f"capacity is what is free on {card.name} (GPU {card.device}) now"]
    if card.compute_capability:
        capability = float("{}.{}".format(*card.compute_capability))
    else:
        notes.append(f"{card.name}: its compute capability is not known, 8.0 is taken")
    keeps = card.reserved or 0
    total = card.total if card.total is not None else card.free + keeps
    own = machine.watched_bytes(card)
    if own:
        notes.append(f"the {binary(own)} of process {machine.watched} are counted as free: the estimate stands for it")
    others = max(0, total - keeps - card.free - own)
    return Device(card.name, total, keeps, others, capability, tuple(notes), machine.calibration(card))


def judge(device: Device, hardware: Hardware, needed: tuple[int, int, int]) -> dict[str, Any]:
    """``fits`` if the high end of ``needed`` (low, point, high bytes) is within the capacity minus the reserve,
    ``does not fit`` if the low end is above it, else ``tight``. ``headroom`` is that limit minus the point."""
    limit = device.capacity - hardware.reserve
    low, point, high = needed
    verdict = "fits" if high <= limit else "does not fit" if low > limit else "tight"
    return {
        "gpu": device.name,
        "total": device.total,
        "driver_keeps": device.driver_keeps,
        "used_by_others": device.others,
        "capacity": device.capacity,
        "reserve": hardware.reserve,
        "verdict": verdict,
        "headroom": limit - point,
    }
