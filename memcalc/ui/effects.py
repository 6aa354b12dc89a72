"""What a setting would change right now: the difference of two estimates. No Streamlit in here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import memcalc
from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.ui.form import Json, Setting, get, put
from memcalc.ui.ledger import PHASE_LABELS

#: A smaller difference is the allocator's rounding, not the setting.
NOTHING = 2 * units.MiB


@dataclass(frozen=True)
class Peak:
    """A scenario's peak on the card and the highest instant of each phase, in bytes."""

    device: int
    phases: Mapping[str, int]


@dataclass(frozen=True)
class Change:
    """One other value of a setting, and by how many bytes the card would be fuller with it (None: impossible).

    Where the peak stays as it is because it lies in another phase, ``phase`` names the one that changes most,
    and ``there`` says by how much.
    """

    name: str
    bytes: int | None
    phase: str = ""
    there: int = 0

    @property
    def words(self) -> str:
        """``−9.20 GiB``, ``+312 MiB``, ``no change``."""
        if self.bytes is None:
            return "not possible here"
        return signed(self.bytes) if abs(self.bytes) >= NOTHING else "no change"

    @property
    def aside(self) -> str:
        """What changes below the peak: ``backward pass −11.2 GiB``."""
        return f"{PHASE_LABELS.get(self.phase, self.phase).split(' (')[0]} {signed(self.there)}" if self.phase else ""

    @property
    def hover(self) -> str:
        """The same in GB, as cards are sold."""
        size = self.bytes or self.there
        return f"{'−' if size < 0 else '+'}{units.decimal(abs(size))}" if size else ""


def signed(size: int) -> str:
    """A difference: ``−9.20 GiB``."""
    return f"{'−' if size < 0 else '+'}{units.binary(abs(size))}"


@lru_cache(maxsize=4096)
def _peak(asked: str) -> Peak | None:
    """The peak, or None for what the core refuses. It depends on nothing but the question."""
    try:
        answer = memcalc.estimate(json.loads(asked), allow_files=False)
    except MemcalcError:
        return None
    phases: dict[str, int] = {}
    for phase in answer.phases:
        phases[phase["name"]] = max(phases.get(phase["name"], 0), int(phase["tensors"]))
    return Peak(int(answer.peak["device"]), phases)


def peak(scenario: Mapping[str, Any]) -> Peak | None:
    """The scenario's peak. A GPU of this machine is left out of the question: its free memory changes by the
    second, and differences do not depend on it."""
    asked = dict(scenario)
    if str(get(asked, "hardware.gpu") or "").startswith("live:"):
        asked.pop("hardware")
    return _peak(json.dumps(asked, sort_keys=True))


def others(setting: Setting, scenario: Json) -> list[Any]:
    """The values to compare with: the other one, all others, or the next rungs below and above."""
    now = get(scenario, setting.path)
    now = setting.usual if now is None else now
    if setting.kind == "switch":
        return [setting.usual if now != setting.usual else setting.wish]
    values = list(setting.values())
    if setting.compared is not None:
        values = [value for value in values if value in setting.compared]
    if setting.kind != "ladder":
        return [value for value in values if value != now]
    half = max((one for one in values if one * 2 <= now), default=None)
    double = min((one for one in values if one >= now * 2), default=None)
    return [one for one in (half, double) if one is not None]


def changes(setting: Setting, scenario: Json) -> list[Change]:
    """What each other value of a setting would change; impossible ones are left out unless it is the only one."""
    now = peak(scenario)
    if now is None:
        return []
    found = []
    for value in others(setting, scenario):
        there = peak(put(scenario, setting.path, value))
        found.append(difference(_name(setting, value), now, there))
    possible = [one for one in found if one.bytes is not None]
    if setting.kind in ("choice", "few"):
        possible.sort(key=lambda one: one.bytes or 0)
    return possible or found[:1]


def difference(name: str, now: Peak, there: Peak | None) -> Change:
    """What another value changes: at the peak, or, if that stays, in the phase that changes most."""
    if there is None:
        return Change(name, None)
    size = there.device - now.device
    moved = {phase: there.phases.get(phase, 0) - held for phase, held in now.phases.items() if phase != "load"}
    phase = max(moved, key=lambda one: abs(moved[one]), default="")
    if abs(size) >= NOTHING or not phase or abs(moved[phase]) < NOTHING:
        return Change(name, size)
    return Change(name, size, phase, moved[phase])


def _name(setting: Setting, value: Any) -> str:
    if setting.kind == "switch":
        return "off" if value == setting.usual else "on"
    return f"{value:,}" if setting.kind == "ladder" else setting.name(value)
