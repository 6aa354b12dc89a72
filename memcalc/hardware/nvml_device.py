"""Everything that NVML says about one device, each figure with its reason where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from memcalc.hardware import sanity, system
from memcalc.hardware.live import LiveGpu, Process
from memcalc.hardware.nvml_call import UNSUPPORTED, Nvml

SIZES = ("total", "used", "free", "reserved")
_KINDS = {"compute": "Compute", "graphics": "Graphics", "compute through MPS": "MPSCompute"}
"""Kinds of processes, and what NVML calls them: one that shares the GPU through the Multi-Process Service is in a list
of its own."""
BOTH = "compute and graphics"
_GPU_CORE = 0
"""NVML_TEMPERATURE_GPU: the sensor on the GPU's die (nvml.h)."""


def device(nvml: Nvml, number: int, label: str, handle: Any, parent: Any) -> LiveGpu:
    """The device behind ``handle``. ``parent``: the divided GPU's handle, for a MIG device. What belongs to the
    whole GPU (name, bus, temperature, power) is read from it."""
    whole = handle if parent is None else parent
    said = f"GPU {label}"
    reasons: dict[str, str] = {}
    name, reasons["name"] = nvml.call("nvmlDeviceGetName", handle)
    if name is None and parent is not None:
        name, reasons["name"] = nvml.call("nvmlDeviceGetName", parent)
    sizes, unified = _memory(nvml, said, handle, reasons)
    uuid, reasons["uuid"] = nvml.call("nvmlDeviceGetUUID", handle)
    for field, what in (("name", "name"), ("uuid", "identity")):
        # A device that is lost answers nothing: that is said once.
        if reasons[field] and reasons[field] != reasons.get("total"):
            nvml.problems[f"{what} of {said}: {reasons[field]}"] = None
    return LiveGpu(
        index=number,
        device=label,
        uuid=sanity.text(uuid) if uuid else None,
        name=sanity.text(name or said) or said,
        compute_capability=_capability(nvml, whole),
        mig=parent is not None,
        unified=unified,
        pci=_pci(nvml, whole),
        utilisation=_utilisation(nvml, handle, parent, reasons),
        temperature=_temperature(nvml, whole, reasons),
        power=_watts(nvml, whole, "power", "nvmlDeviceGetPowerUsage", reasons),
        power_limit=_watts(nvml, whole, "power_limit", "nvmlDeviceGetEnforcedPowerLimit", reasons),
        processes=_processes(nvml, handle, sizes["total"], reasons),
        reasons=sanity.without_empty(reasons),
        **sizes,
    )


def _memory(nvml: Nvml, said: str, handle: Any, reasons: dict[str, str]) -> tuple[dict[str, int | None], bool]:
    """total, used, free, reserved of a device, and whether they are the CPU's memory, shared."""
    version = getattr(nvml.binding, "nvmlMemory_v2", None)
    info, why, reserved = None, "", None
    if version is not None:
        # Version 2 tells the driver's reserve from use. Some drivers under WSL know only version 1.
        info, _ = nvml.call("nvmlDeviceGetMemoryInfo", handle, version=version)
        reserved = getattr(info, "reserved", None)
    if info is None:
        info, why = nvml.call("nvmlDeviceGetMemoryInfo", handle)
    if info is not None and int(info.total) > 0:
        total, used, free = int(info.total), int(info.used), int(info.free)
        kept = None if reserved is None else int(reserved)
        why = sanity.memory(total, used, free, kept)
        if not why:
            if kept is None:
                reasons["reserved"] = "this driver does not tell its own reserve from what is used"
            return {"total": total, "used": used, "free": free, "reserved": kept}, False
    elif why in ("", UNSUPPORTED):
        # GB10 and Jetson answer "not supported", or zeros: their memory is the machine's.
        shared = system.shared_memory()
        if shared is not None:
            nvml.problems[f"{said} shares the machine's memory, which is shown in its place"] = None
            reasons["reserved"] = "the machine's memory is shared with the GPU: the driver reserves none for itself"
            total, free = shared
            return {"total": total, "used": total - free, "free": free, "reserved": None}, True
        why = why or "the driver reports none"
    nvml.problems[f"memory of {said}: {why}"] = None
    reasons.update(dict.fromkeys(SIZES, why))
    return dict.fromkeys(SIZES), False


def _capability(nvml: Nvml, handle: Any) -> tuple[int, int] | None:
    found = nvml.ask("", "nvmlDeviceGetCudaComputeCapability", handle)
    return (found[0], found[1]) if found and 1 <= found[0] < 100 and 0 <= found[1] < 100 else None


def _pci(nvml: Nvml, handle: Any) -> str | None:
    found = getattr(nvml.ask("", "nvmlDeviceGetPciInfo", handle), "busId", None)
    text = found.decode("ascii", "replace") if isinstance(found, bytes) else found
    return sanity.text(text, 32) if text else None


def _utilisation(nvml: Nvml, handle: Any, parent: Any, reasons: dict[str, str]) -> int | None:
    if parent is not None:
        reasons["utilisation"] = "not counted while the GPU is divided (MIG)"
        return None
    rates, why = nvml.call("nvmlDeviceGetUtilizationRates", handle)
    value = None if rates is None else int(rates.gpu)
    if value is not None:
        value, why = sanity.within(value, 100, "share")
    reasons["utilisation"] = why
    return value


def _temperature(nvml: Nvml, handle: Any, reasons: dict[str, str]) -> int | None:
    degrees: int | None = None
    answer, why = nvml.call("nvmlDeviceGetTemperatureV", handle, _GPU_CORE)
    if answer is None:
        # The older call; CUDA 14 is to drop it.
        answer, why = nvml.call("nvmlDeviceGetTemperature", handle, _GPU_CORE)
    if answer is not None:
        degrees, why = sanity.within(int(answer), sanity.MOST_DEGREES, "temperature")
    reasons["temperature"] = why
    return degrees


def _watts(nvml: Nvml, handle: Any, field: str, function: str, reasons: dict[str, str]) -> float | None:
    """NVML counts milliwatts."""
    watts: float | None = None
    answer, why = nvml.call(function, handle)
    if answer is not None:
        watts, why = sanity.within(int(answer) / 1000, sanity.MOST_WATTS, "power")
    reasons[field] = why
    return watts


def _processes(nvml: Nvml, handle: Any, total: int | None, reasons: dict[str, str]) -> tuple[Process, ...] | None:
    """Who uses the device, the largest first. A process that computes and draws is listed by NVML twice."""
    found: dict[int, Process] = {}
    refusals = []
    for kind, function in _KINDS.items():
        listed, why = nvml.call(f"nvmlDeviceGet{function}RunningProcesses", handle)
        if listed is None:
            refusals.append(why)
            continue
        for one in listed[: sanity.MOST_PROCESSES]:
            pid, known = int(one.pid), found.get(int(one.pid))
            memory = _process_memory(one.usedGpuMemory, total)
            if known is None:
                found[pid] = Process(pid, _program(nvml, pid), memory, kind)
            elif {known.kind, kind} == {"compute", "graphics"}:
                found[pid] = replace(known, memory=max(memory or 0, known.memory or 0) or memory, kind=BOTH)
    if len(refusals) == len(_KINDS):
        reasons["processes"] = refusals[0]
        return None
    if any(one.memory is None for one in found.values()):
        reasons["process memory"] = "the driver does not tell it here (Windows, WSL and some containers)"
    return tuple(sorted(found.values(), key=lambda one: (-(one.memory or 0), one.pid)))


def _process_memory(value: Any, total: int | None) -> int | None:
    if value is None or int(value) == sanity.NOT_AVAILABLE:
        return None
    return None if int(value) > (total or sanity.MOST_MEMORY) else int(value)


def _program(nvml: Nvml, pid: int) -> str | None:
    """The program's file name without its folders: command lines may hold secrets, and everybody sees the page."""
    path = sanity.text(nvml.ask("", "nvmlSystemGetProcessName", pid) or "", 1024)
    if path:
        name = PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
        return sanity.text(name.split(" ")[0], 60)
    return sanity.text(system.program(pid) or "", 60)
