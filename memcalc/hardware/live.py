"""What a GPU of this machine is like at one moment: values only, no reading.

A size, temperature or other figure that the driver did not give is None, and ``reasons`` says why; it is never
zero. ``select`` is what a scenario writes to mean the device (``"live:0"``), and ``choose`` finds it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from memcalc.errors import HardwareError

FIELD = "hardware.gpu"


@dataclass(frozen=True)
class Process:
    """A process on a device. ``memory`` in bytes covers its CUDA context and all that its allocator has reserved;
    ``kind`` is ``"compute"`` or ``"graphics"``; ``name`` is the program's file name, None where it cannot be seen."""

    pid: int
    name: str | None
    memory: int | None
    kind: str = "compute"


@dataclass(frozen=True)
class LiveGpu:
    """One GPU or MIG device as it is now; sizes in bytes, None where the driver did not say.

    ``index`` is the driver's own number of the GPU, as nvidia-smi shows it; ``device`` adds the slot of a MIG
    device: ``"0"``, or ``"0:3"``. ``used`` leaves the driver's reserve out where NVML tells the two apart;
    ``unified`` marks memory shared with the CPU. ``utilisation`` is the share of the last moments in which a
    kernel ran, in percent; ``temperature`` in degrees Celsius; ``power`` and ``power_limit`` in watts (of the
    whole GPU, for a MIG device). ``processes`` is None where they cannot be listed.
    """

    index: int
    device: str
    uuid: str | None
    name: str
    total: int | None
    used: int | None
    free: int | None
    reserved: int | None
    compute_capability: tuple[int, int] | None
    mig: bool = False
    unified: bool = False
    pci: str | None = None
    utilisation: int | None = None
    temperature: int | None = None
    power: float | None = None
    power_limit: float | None = None
    processes: tuple[Process, ...] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def capacity(self) -> int | None:
        """Bytes that processes can use: total minus the driver's reserve, as in the catalogue."""
        return None if self.total is None else self.total - (self.reserved or 0)

    @property
    def select(self) -> str:
        """What a scenario's ``hardware.gpu`` says to mean this device: ``"live:0"``, ``"live:0:3"``."""
        return f"live:{self.device}"

    @property
    def key(self) -> str:
        """What tells the device from all others, across readings."""
        return self.uuid or self.device

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON has them, ``capacity`` and ``select`` included."""
        found = asdict(self) | {"capacity": self.capacity, "select": self.select}
        if self.compute_capability is not None:
            found["compute_capability"] = "{}.{}".format(*self.compute_capability)
        return found

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> LiveGpu:
        """The device that ``as_json`` wrote."""
        known = {one.name: raw[one.name] for one in fields(cls) if one.name in raw}
        if known.get("compute_capability") is not None:
            major, _, minor = str(known["compute_capability"]).partition(".")
            known["compute_capability"] = (int(major), int(minor))
        if known.get("processes") is not None:
            known["processes"] = tuple(Process(**one) for one in known["processes"])
        return cls(**known)


@dataclass(frozen=True)
class LiveGpus:
    """One reading: driver and CUDA version, the devices, and what could not be read (``note``)."""

    driver: str | None
    gpus: tuple[LiveGpu, ...]
    note: str
    cuda: str | None = None

    def as_json(self) -> dict[str, Any]:
        """``{"driver", "cuda", "gpus": [{"index", "uuid", "name", "total", "used", "free", …}], "note"}``."""
        gpus = [gpu.as_json() for gpu in self.gpus]
        return {"driver": self.driver, "cuda": self.cuda, "gpus": gpus, "note": self.note}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> LiveGpus:
        """The reading that ``as_json`` wrote; ValueError, TypeError or KeyError for anything else."""
        gpus = tuple(LiveGpu.from_json(one) for one in raw["gpus"])
        return cls(raw["driver"], gpus, raw["note"], raw.get("cuda"))


_SELECTOR = re.compile(r"live:(\d{1,4}(?::\d{1,3})?|(?:GPU|MIG)-[0-9A-Za-z/-]{1,80})")


def is_live(name: object) -> bool:
    """Whether a scenario's ``hardware.gpu`` means a GPU of this machine."""
    return isinstance(name, str) and name.startswith("live:")


def choose(reading: LiveGpus, name: str) -> LiveGpu:
    """The device that ``name`` means: ``live:1`` (nvidia-smi's number), ``live:0:3`` (MIG device in slot 3 of
    GPU 0), or ``live:GPU-…``, ``live:MIG-…`` (a UUID, or as much of its beginning as no other device shares, the
    way CUDA_VISIBLE_DEVICES takes it). HardwareError lists what there is.
    """
    choices = [gpu.select for gpu in reading.gpus]
    found = _SELECTOR.fullmatch(name)
    if found is None:
        said = "write live:0 for the first GPU, or live: and its UUID"
        raise HardwareError(f"{name[:60]!r} names no GPU of this machine: {said}", FIELD, choices)
    wanted = found[1]
    same = [gpu for gpu in reading.gpus if gpu.device == wanted or (gpu.uuid or "") == wanted]
    if not same and wanted[:4] in ("GPU-", "MIG-"):
        same = [gpu for gpu in reading.gpus if (gpu.uuid or "").startswith(wanted)]
    if not same and wanted.isdigit():
        # A GPU that is divided: its only part is meant, or one has to say which.
        same = [gpu for gpu in reading.gpus if gpu.index == int(wanted)]
        choices = [gpu.select for gpu in same] or choices
    if len(same) == 1:
        return same[0]
    if same:
        raise HardwareError(f"{name} is divided into {len(same)} devices, or means several: say which", FIELD, choices)
    raise HardwareError(f"there is no {name[:60]} here. {reading.note}".strip(), FIELD, choices)
