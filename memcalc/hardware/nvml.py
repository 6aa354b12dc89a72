"""The GPUs of this machine, read through NVIDIA's NVML (package nvidia-ml-py, module ``pynvml``).

Reading never raises: where there is no library, driver or GPU the list is empty and ``note`` is one calm
sentence; where a single query fails its field is None and the device's ``reasons`` say why. It creates no CUDA
context and costs no GPU memory. The driver's library may hang in a query: what must go on then reads through
``memcalc.hardware.worker``, which does this in a process of its own.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from typing import Any

from memcalc.hardware import sanity
from memcalc.hardware.live import LiveGpu, LiveGpus
from memcalc.hardware.nvml_call import TROUBLE, USELESS, Nvml, reason
from memcalc.hardware.nvml_device import device

RENEW_AFTER = 20.0
"""Seconds for which one NVML session is kept: it counts the devices when it begins, so a device that was added is
seen by the next one. Beginning one may take seconds where the driver does not stay loaded (no persistence mode)."""
RENEW_IN_TROUBLE = 5.0
"""The same where a device was lost."""
NO_LIBRARY = 12


class Reader:
    """Reads again and again. A session is renewed now and then, and after errors that only a new one mends: a lost
    device, a reloaded driver."""

    def __init__(self) -> None:
        self._nvml: Nvml | None = None
        self._opened = 0.0
        self.stale = False
        """The library in this process no longer fits the driver: only a new process can read (NVML is loaded once)."""

    def read(self) -> LiveGpus:
        """The GPUs now."""
        if self._nvml is not None:
            keep = RENEW_IN_TROUBLE if self._nvml.codes & TROUBLE else RENEW_AFTER
            if time.monotonic() - self._opened > keep:
                self.close()
        if self._nvml is None:
            try:
                nvml: Any = importlib.import_module("pynvml")
            except ImportError:
                said = "The package nvidia-ml-py is not installed, so this machine's GPUs cannot be read."
                return LiveGpus(None, (), said)
            opened = Nvml(nvml)
            try:
                nvml.nvmlInit()
            except opened.failures as error:
                self.stale = getattr(error, "value", 0) != NO_LIBRARY
                return LiveGpus(None, (), _sentence(f"No NVIDIA GPU can be read here: {reason(error)}"))
            self._nvml, self._opened = opened, time.monotonic()
        found = _reading(self._nvml)
        if self._nvml.codes & USELESS:
            self.stale = True
            self.close()
        return found

    def close(self) -> None:
        """End the session, if one is open."""
        if self._nvml is not None:
            self._nvml.ask("", "nvmlShutdown")
            self._nvml = None


def read() -> LiveGpus:
    """The GPUs of this machine, now. Never raises; ``note`` says what is missing, and is empty if nothing is."""
    reader = Reader()
    try:
        return reader.read()
    finally:
        reader.close()


def _reading(nvml: Nvml) -> LiveGpus:
    nvml.begin()
    driver = nvml.ask("driver version", "nvmlSystemGetDriverVersion")
    gpus = tuple(_device(nvml, *found) for found in _devices(nvml))
    if not gpus and not nvml.problems:
        nvml.problems["the driver reports no GPU"] = None
    note = _sentence("; ".join(nvml.problems)) if nvml.problems else ""
    return LiveGpus(sanity.text(driver) if driver else None, gpus, note, _cuda(nvml))


def _cuda(nvml: Nvml) -> str | None:
    """The newest CUDA that the driver runs: 13020 is 13.2 (nvmlSystemGetCudaDriverVersion)."""
    version = nvml.ask("", "nvmlSystemGetCudaDriverVersion")
    return f"{version // 1000}.{version % 1000 // 10}" if isinstance(version, int) and version > 0 else None


def _devices(nvml: Nvml) -> Iterator[tuple[int, int | None, Any, Any]]:
    """(number, MIG slot, handle, parent's handle): GPUs, or in their place the MIG devices they are divided into."""
    count = nvml.ask("number of GPUs", "nvmlDeviceGetCount") or 0
    if count > sanity.MOST_GPUS:
        nvml.problems[f"the driver reports {count:,} GPUs, which cannot be"] = None
        return
    for number in range(count):
        handle = nvml.ask(f"GPU {number}", "nvmlDeviceGetHandleByIndex", number)
        mode = nvml.ask("", "nvmlDeviceGetMigMode", handle) if handle is not None else None
        if not mode or mode[0] != 1:
            # One that is lost is listed all the same, so that it is missed.
            yield number, None, handle, None
            continue
        parts = list(_parts(nvml, handle))
        if not parts:
            nvml.problems[f"GPU {number} is in MIG mode without a MIG device"] = None
        for slot, part in parts:
            yield number, slot, part, handle


def _parts(nvml: Nvml, handle: Any) -> Iterator[tuple[int, Any]]:
    # A maximum, not a count: the slots that hold no MIG device answer "not found".
    most = nvml.ask("", "nvmlDeviceGetMaxMigDeviceCount", handle) or 0
    for slot in range(min(most, sanity.MOST_GPUS)):
        part = nvml.ask("", "nvmlDeviceGetMigDeviceHandleByIndex", handle, slot)
        if part is not None:
            yield slot, part


def _device(nvml: Nvml, number: int, slot: int | None, handle: Any, parent: Any) -> LiveGpu:
    label = str(number) if slot is None else f"{number}:{slot}"
    if handle is None:
        why = next((line.split(": ", 1)[1] for line in nvml.problems if line.startswith(f"GPU {label}: ")), "")
        nothing = dict.fromkeys(("total", "used", "free", "reserved", "processes"), why)
        return LiveGpu(number, label, None, f"GPU {label}", None, None, None, None, None, reasons=nothing)
    return device(nvml, number, label, handle, parent)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
