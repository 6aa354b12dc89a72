"""What was measured on a GPU of this machine, in place of the catalogue's figures, and the file that keeps it.

A calibration belongs to one device (its UUID) under one driver and one version of torch: under another driver it is
no longer used. It never acts by itself: an estimate takes it as part of a ``Machine`` and says so.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from memcalc.errors import HardwareError
from memcalc.units import GiB, MiB

FOLDER = "MEMCALC_DATA"
"""Environment variable: the folder in which memcalc keeps what it measured."""
VERSION = 1
MOST_FILE = 1024 * 1024
MOST_KEPT = 256


@dataclass(frozen=True)
class Calibration:
    """Measured in one process on one device; sizes in bytes.

    ``context_bare``: what the driver shows for a process with a single small tensor, less what torch has reserved.
    ``context``: the same after a small training step, with the kernels of attention, matrix products and AdamW
    loaded. ``workspace_first``: what torch's allocator hands out for cuBLAS with the first matrix product;
    ``workspace_second``: with the first one of autograd's own thread. ``small_segment`` and ``large_segment``: what the
    allocator takes from the driver for its first tensor of 512 bytes and of 2 MiB (2 and 20 MiB, unless it is set
    up otherwise). ``by_process`` tells a figure of the driver for the process itself from a difference of the whole
    device's use. ``when`` is a date, ``tool`` memcalc's version.
    """

    uuid: str
    name: str
    driver: str
    torch: str
    cuda: str
    when: str
    tool: str
    context_bare: int
    context: int
    workspace_first: int
    workspace_second: int
    small_segment: int
    large_segment: int
    by_process: bool

    @property
    def expandable(self) -> bool:
        """Whether the allocator grows segments (``expandable_segments:True``) instead of taking 20 MiB at a time."""
        return self.large_segment < 20 * MiB

    def workspace(self, training: bool) -> int:
        """Bytes of cuBLAS workspaces: of the forward thread, and of autograd's in training."""
        return self.workspace_first + (self.workspace_second if training else 0)

    def context_range(self) -> tuple[int, int, int]:
        """(low, point, high): bare, as after the small step, and as much again for kernels that it did not load."""
        return self.context_bare, self.context, self.context + max(self.context - self.context_bare, 64 * MiB)

    def as_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


_LIMITS = {
    "context_bare": (16 * MiB, 8 * GiB),
    "context": (16 * MiB, 8 * GiB),
    "workspace_first": (0, 2 * GiB),
    "workspace_second": (0, 2 * GiB),
    "small_segment": (512, GiB),
    "large_segment": (512, GiB),
}
"""Between these a measured figure is believed."""


def checked(raw: object) -> Calibration:
    """A calibration from JSON; HardwareError says what is wrong with it."""
    if not isinstance(raw, Mapping):
        raise HardwareError("a calibration is an object")
    read: dict[str, Any] = {}
    for one in fields(Calibration):
        value = raw.get(one.name)
        if one.name in _LIMITS:
            low, high = _LIMITS[one.name]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise HardwareError(f"{one.name} = {str(value)[:40]} is not between {low:,} and {high:,} bytes")
        elif one.name == "by_process":
            if not isinstance(value, bool):
                raise HardwareError("by_process is true or false")
        elif not isinstance(value, str) or not 0 < len(value) <= 120 or not value.isprintable():
            raise HardwareError(f"{one.name} is missing, or no short text")
        read[one.name] = value
    if read["context"] < read["context_bare"]:
        raise HardwareError("the context cannot have become smaller")
    return Calibration(**read)


def folder() -> Path:
    """Where a program keeps its data for this user: MEMCALC_DATA, or what the system says (XDG on Linux)."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "memcalc"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "memcalc"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "memcalc"


@dataclass(frozen=True)
class Kept:
    """What the file holds; ``note`` says what of it was not understood and is left alone."""

    calibrations: tuple[Calibration, ...] = ()
    note: str = ""

    def of(self, uuid: str | None) -> Calibration | None:
        """The calibration of a device, under whatever driver."""
        return next((one for one in self.calibrations if one.uuid == uuid), None)


def _file(where: Path | None) -> Path:
    return (where or folder()) / "calibration.json"


def load(where: Path | None = None) -> Kept:
    """What was measured so far. Never raises: a file that cannot be understood gives nothing and a note."""
    path = _file(where)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_FILE + 1)
    except FileNotFoundError:
        return Kept()
    except (OSError, UnicodeDecodeError):
        return Kept(note="The file of measured figures cannot be read; the catalogue's are used.")
    try:
        raw = json.loads(text) if len(text) <= MOST_FILE else None
        entries = raw["calibrations"] if isinstance(raw, Mapping) and raw.get("version") == VERSION else None
    except (ValueError, KeyError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return Kept(note="The file of measured figures is not as memcalc writes it; the catalogue's are used.")
    found, wrong = {}, ""
    for entry in entries[:MOST_KEPT]:
        try:
            one = checked(entry)
        except HardwareError as error:
            wrong = f"A measured figure is not believed ({error.message}); the catalogue's is used in its place."
        else:
            found[one.uuid] = one
    return Kept(tuple(found.values()), wrong)


def save(calibration: Calibration, where: Path | None = None) -> None:
    """Keep a calibration, in place of an earlier one of the device."""
    others = [one for one in load(where).calibrations if one.uuid != calibration.uuid]
    _write([*others, calibration], where)


def remove(uuid: str, where: Path | None = None) -> bool:
    """Forget a device's calibration; whether there was one."""
    kept = load(where).calibrations
    rest = [one for one in kept if one.uuid != uuid]
    if len(rest) == len(kept):
        return False
    _write(rest, where)
    return True


def _write(calibrations: list[Calibration], where: Path | None) -> None:
    path = _file(where)
    text = json.dumps({"version": VERSION, "calibrations": [one.as_json() for one in calibrations]}, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and moved into place: whoever reads meanwhile reads the whole of one or of the other.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".calibration-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.replace(name, path)
    except OSError as error:
        raise HardwareError(f"what was measured cannot be kept in {path.parent}: {error.strerror or error}") from error
