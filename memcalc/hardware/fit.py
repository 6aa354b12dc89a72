"""The verdict: does what a process needs fit what a card can give?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from memcalc.errors import HardwareError
from memcalc.hardware import gpus, nvml
from memcalc.scenario import Hardware


@dataclass(frozen=True, slots=True)
class Device:
    """A card to judge against; sizes in bytes.

    ``capacity`` is what processes can use: what the driver reports (``total``) minus what it keeps
    (``driver_keeps``), and for a live card minus what others use now (``others``).
    """

    name: str
    total: int
    driver_keeps: int
    others: int
    capability: float
    assumptions: tuple[str, ...] = ()

    @property
    def capacity(self) -> int:
        return self.total - self.driver_keeps - self.others


def device_for(hardware: Hardware) -> Device | None:
    """The card that ``hardware.gpu`` names: of the catalogue, a size, or ``live:N`` (its free memory now)."""
    if hardware.gpu is None:
        return None
    if hardware.gpu.startswith("live:"):
        return _live(hardware.gpu)
    card = gpus.find(hardware.gpu)
    capability = float(f"{card.compute_capability[0]}.{card.compute_capability[1]}") if card.compute_capability else 8.0
    notes = card.assumptions
    if card.vendor != "NVIDIA":
        notes = (*notes, f"{card.name}: workspaces, context and attention kernels are taken as on an NVIDIA card")
    return Device(card.name, card.total, card.reserved, 0, capability, notes)


def _live(name: str) -> Device:
    found = re.fullmatch(r"live:(\d{1,4})", name)
    read = nvml.read()
    choices = [f"live:{one.index}" for one in read.gpus]
    if found is None or int(found[1]) >= len(read.gpus):
        raise HardwareError(f"there is no {name[:40]} here. {read.note}".strip(), "hardware.gpu", choices)
    card = read.gpus[int(found[1])]
    if card.free is None:
        raise HardwareError(f"{name}: the driver does not say how much memory is free", "hardware.gpu", choices)
    capability = 8.0
    if card.compute_capability:
        capability = float(f"{card.compute_capability[0]}.{card.compute_capability[1]}")
    keeps = card.reserved or 0
    total = card.total if card.total is not None else card.free + keeps
    others = total - keeps - card.free
    return Device(
        card.name or name, total, keeps, others, capability, (f"capacity is what is free on {card.name} now",)
    )


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
