"""What the operating system says where NVML says nothing: shared memory, processes, other makers' GPUs."""

from __future__ import annotations

import platform
from pathlib import Path

from memcalc.units import KiB

MEMINFO = Path("/proc/meminfo")
PCI_DEVICES = Path("/sys/bus/pci/devices")
PROC = Path("/proc")

#: PCI vendor numbers of GPUs (pci.ids); a server's ASPEED or Matrox display chip is none.
_VENDORS = {"0x1002": "AMD", "0x8086": "Intel", "0x10de": "NVIDIA"}
_DISPLAY = "0x03"
"""PCI base class of display controllers; 0x0300 VGA, 0x0302 3D, 0x0380 other (PCI Code and ID Assignment, 1.2)."""


def shared_memory() -> tuple[int, int] | None:
    """(total, available) bytes of the machine's own memory, from Linux; None elsewhere."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="ascii").splitlines() if ":" in line)
        return int(lines["MemTotal"].split()[0]) * KiB, int(lines["MemAvailable"].split()[0]) * KiB
    except (OSError, KeyError, ValueError, IndexError):
        return None


def program(pid: int) -> str | None:
    """The program's short name, as Linux keeps it (15 characters); None where the process cannot be seen."""
    try:
        return (PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def makers() -> tuple[str, ...]:
    """The makers of this machine's GPUs, as far as the system tells without their drivers: Linux lists its PCI
    devices in sysfs (``vendor`` and ``class``); a Mac with Apple's own processor has Apple's GPU in it."""
    if platform.system() == "Darwin":
        return ("Apple",) if platform.machine() == "arm64" else ()
    found = set()
    try:
        devices = list(PCI_DEVICES.iterdir())
    except OSError:
        return ()
    for device in devices:
        try:
            if (device / "class").read_text(encoding="ascii").startswith(_DISPLAY):
                found.add(_VENDORS.get((device / "vendor").read_text(encoding="ascii").strip(), ""))
        except (OSError, ValueError):
            continue
    return tuple(sorted(found - {""}))


def not_read(names: tuple[str, ...]) -> str:
    """A sentence about GPUs that are there and cannot be read; empty if there is none."""
    said = []
    others = [name for name in names if name != "NVIDIA"]
    if "NVIDIA" in names:
        said.append("An NVIDIA GPU is on this machine's bus, but its driver does not answer.")
    if others:
        listed = " and ".join(others)
        said.append(
            f"This machine has a GPU made by {listed}, which memcalc does not read: only NVIDIA's driver "
            "interface is spoken here. Choose the card from the catalogue instead."
        )
    return " ".join(said)
