"""The GPUs of this machine, read through NVIDIA's NVML (package nvidia-ml-py, module ``pynvml``).

Reading never raises: where there is no library, driver or GPU the list is empty and ``note`` is one calm
sentence; where a single query fails its field is None and the note says which. NVML is opened and closed in
every reading, so a driver that was restarted in between is simply read again. It creates no CUDA context and
costs no GPU memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memcalc.units import KiB

_MEMINFO = Path("/proc/meminfo")

# What NVML's return codes mean to somebody who just wants to see a GPU (nvml.h, nvmlReturn_t).
_REASONS = {
    1: "the NVIDIA driver stopped answering",
    3: "the driver does not support it on this GPU",
    4: "permission was denied",
    9: "the NVIDIA driver is not loaded",
    12: "no NVIDIA driver library was found",
    15: "the GPU has fallen off the bus",
    16: "the GPU needs a reset",
    18: "the NVIDIA driver was updated and the machine has not been restarted",
    999: "the driver reported an unknown error",
}


@dataclass(frozen=True)
class LiveGpu:
    """One GPU or MIG device as it is now; sizes in bytes, None where the driver did not say.

    ``index`` counts the listed devices (``live:0`` is the first); ``device`` is the driver's own
    number, ``"0"``, or ``"0:1"`` for the second MIG device of GPU 0. ``used`` leaves the driver's
    reserve out where NVML tells the two apart; ``unified`` marks memory shared with the CPU.
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

    @property
    def capacity(self) -> int | None:
        """Bytes that processes can use: total minus the driver's reserve, as in the catalogue."""
        return None if self.total is None else self.total - (self.reserved or 0)

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON has them, ``capacity`` included."""
        found = asdict(self) | {"capacity": self.capacity}
        if self.compute_capability is not None:
            found["compute_capability"] = "{}.{}".format(*self.compute_capability)
        return found


@dataclass(frozen=True)
class LiveGpus:
    """One reading: the driver's version, the devices, and what could not be read."""

    driver: str | None
    gpus: tuple[LiveGpu, ...]
    note: str

    def as_json(self) -> dict[str, Any]:
        """``{"driver", "gpus": [{"index", "uuid", "name", "total", "used", "free", "reserved", …}], "note"}``."""
        return {"driver": self.driver, "gpus": [gpu.as_json() for gpu in self.gpus], "note": self.note}


class _Session:
    """NVML between init and shutdown; every question fails softly and is remembered in ``problems``."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.problems: dict[str, None] = {}
        # An older binding may lack a function or an argument; neither is worth more than a missing field.
        self.failures = (nvml.NVMLError, AttributeError, TypeError, ValueError, OSError)

    def ask(self, what: str, function: str, *arguments: Any, **named: Any) -> Any:
        """NVML's answer, or None with a remembered problem; without a ``what`` it is not worth remembering."""
        try:
            answer = getattr(self.nvml, function)(*arguments, **named)
        except self.failures as error:
            if what:
                self.problems[f"{what}: {_reason(error)}"] = None
            return None
        return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer

    def memory(self, label: str, handle: Any) -> tuple[dict[str, int | None], bool]:
        """total, used, free, reserved of a device, and whether they are the CPU's memory, shared."""
        version = getattr(self.nvml, "nvmlMemory_v2", None)
        info = None
        if version is not None:
            # Version 2 tells the driver's reserve from use. Some drivers under WSL know only version 1.
            info = self.ask("", "nvmlDeviceGetMemoryInfo", handle, version=version)
        reserved = getattr(info, "reserved", None)
        if info is None:
            info = self.ask(f"memory of {label}", "nvmlDeviceGetMemoryInfo", handle)
        if info is not None and int(info.total) > 0:
            sizes = {"total": int(info.total), "used": int(info.used), "free": int(info.free)}
            return sizes | {"reserved": None if reserved is None else int(reserved)}, False
        # GB10 and Jetson answer "not supported", or zeros: their memory is the machine's.
        shared = None if self._refused(label) else _shared_memory()
        if shared is None:
            self.problems.setdefault(f"memory of {label}: the driver reports none", None)
            return {"total": None, "used": None, "free": None, "reserved": None}, False
        self.problems = {problem: None for problem in self.problems if not problem.startswith(f"memory of {label}:")}
        self.problems[f"{label} shares the machine's memory, which is shown in its place"] = None
        total, free = shared
        return {"total": total, "used": total - free, "free": free, "reserved": None}, True

    def _refused(self, label: str) -> bool:
        """Whether the memory query failed for another reason than that the GPU has no memory of its own."""
        problem = next((p for p in self.problems if p.startswith(f"memory of {label}:")), "")
        return bool(problem) and not problem.endswith(_REASONS[3])

    def devices(self) -> Iterator[tuple[str, Any, Any]]:
        """(number, handle, parent's handle): GPUs, or in their place the MIG devices they are divided into."""
        for number in range(self.ask("number of GPUs", "nvmlDeviceGetCount") or 0):
            handle = self.ask(f"GPU {number}", "nvmlDeviceGetHandleByIndex", number)
            if handle is None:
                # Listed all the same, so that the GPUs behind it keep their numbers.
                yield str(number), None, None
                continue
            mode = self.ask("", "nvmlDeviceGetMigMode", handle)
            if not mode or mode[0] != 1:
                yield str(number), handle, None
                continue
            parts = list(self._parts(handle))
            if not parts:
                self.problems[f"GPU {number} is in MIG mode without a MIG device"] = None
            for part, device in parts:
                yield f"{number}:{part}", device, handle

    def _parts(self, handle: Any) -> Iterator[tuple[int, Any]]:
        # A maximum, not a count: the slots that hold no MIG device answer "not found".
        for part in range(self.ask("", "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
            device = self.ask("", "nvmlDeviceGetMigDeviceHandleByIndex", handle, part)
            if device is not None:
                yield part, device

    def gpu(self, index: int, number: str, handle: Any, parent: Any) -> LiveGpu:
        """Everything about one device."""
        label = f"GPU {number}"
        if handle is None:
            return LiveGpu(index, number, None, label, None, None, None, None, None)
        mig = parent is not None
        name = self.ask("" if mig else f"name of {label}", "nvmlDeviceGetName", handle)
        if name is None and mig:
            name = self.ask(f"name of {label}", "nvmlDeviceGetName", parent)
        capability = self.ask("", "nvmlDeviceGetCudaComputeCapability", parent if mig else handle)
        sizes, unified = self.memory(label, handle)
        return LiveGpu(
            index=index,
            device=number,
            uuid=self.ask(f"identity of {label}", "nvmlDeviceGetUUID", handle),
            name=name or label,
            compute_capability=tuple(capability) if capability else None,
            mig=mig,
            unified=unified,
            **sizes,
        )


def _reason(error: Exception) -> str:
    return _REASONS.get(getattr(error, "value", 0)) or str(error) or type(error).__name__


def _shared_memory() -> tuple[int, int] | None:
    """(total, available) bytes of the machine's own memory, from Linux; None elsewhere."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines() if ":" in line)
        return int(lines["MemTotal"].split()[0]) * KiB, int(lines["MemAvailable"].split()[0]) * KiB
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def read() -> LiveGpus:
    """The GPUs of this machine, now. Never raises; ``note`` says what is missing, and is empty if nothing is."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return LiveGpus(None, (), "The package nvidia-ml-py is not installed, so this machine's GPUs cannot be read.")
    session = _Session(nvml)
    try:
        nvml.nvmlInit()
    except session.failures as error:
        return LiveGpus(None, (), _sentence(f"No NVIDIA GPU can be read here: {_reason(error)}"))
    try:
        driver = session.ask("driver version", "nvmlSystemGetDriverVersion")
        gpus = tuple(session.gpu(index, *device) for index, device in enumerate(session.devices()))
    finally:
        session.ask("", "nvmlShutdown")
    if not gpus and not session.problems:
        session.problems["the driver reports no GPU"] = None
    return LiveGpus(driver, gpus, _sentence("; ".join(session.problems)) if session.problems else "")
