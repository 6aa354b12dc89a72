"""Figures that no GPU can have: drivers do give them, for lost devices, under WSL, and on shared memory.

Each function returns the figure, or None with a reason. Limits are far above anything built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Number = TypeVar("Number", int, float)

MOST_MEMORY = 2**44
"""Bytes (16 TiB); the largest GPU has some 0.3 TiB."""
MOST_GPUS = 256
MOST_PROCESSES = 4096
MOST_DEGREES = 200
MOST_WATTS = 20_000
CONTRADICTION = 64 * 2**20
"""Bytes by which used + free + reserved may exceed total: they are read one after another while memory moves."""
NOT_AVAILABLE = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE as an unsigned number (nvml.h)."""


def memory(total: int, used: int, free: int, reserved: int | None) -> str:
    """Why these sizes of a device cannot be; empty if they can."""
    if total > MOST_MEMORY:
        return f"the driver reports {total:,} bytes, more than any GPU has"
    if max(used, free, reserved or 0) > total:
        return "the driver reports more than the whole as used, free or reserved"
    if used + free + (reserved or 0) > total + CONTRADICTION:
        return "the driver's used, free and reserved memory add up to more than the whole"
    return ""


def within(value: Number, most: int, what: str) -> tuple[Number | None, str]:
    """``value`` if it is from 0 to ``most``."""
    return (value, "") if 0 <= value <= most else (None, f"the driver reports an impossible {what}")


def text(value: object, longest: int = 120) -> str | None:
    """A name in one line without control characters; None if nothing is left."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return flat[:longest] or None


def without_empty(reasons: Mapping[str, str]) -> dict[str, str]:
    """The reasons that say something."""
    return {name: why for name, why in reasons.items() if why}
