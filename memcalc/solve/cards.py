"""Which cards run a scenario: the whole catalogue, and the smallest that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.diffusion import estimate_pipeline, is_pipeline
from memcalc.errors import MemcalcError
from memcalc.estimate import lay
from memcalc.hardware import gpus
from memcalc.hardware.fit import device_for, judge
from memcalc.hardware.gpus import Gpu
from memcalc.scenario import Hardware
from memcalc.scenario.paths import get, put
from memcalc.shared import Shared
from memcalc.solve.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CardVerdict:
    """A card of the catalogue and what it says to a scenario; ``refusal`` where there is no answer on it."""

    gpu: Gpu
    verdict: Verdict | None
    refusal: str = ""

    @property
    def headroom(self) -> int | None:
        """Bytes left for certain: the limit minus the high end of the range."""
        return None if self.verdict is None else -self.verdict.excess


def cards(scenario: Mapping[str, Any], allow_files: bool = True) -> tuple[CardVerdict, ...]:
    """Every card of the catalogue, by capacity. What a process needs depends on the card by its compute capability
    only (workspaces, context, attention kernels), so there is one estimate for each of those.

    >>> len([one for one in cards({"model": "gpt2"}) if one.verdict.fits]) > 100
    True
    """
    asked = put(put(dict(scenario), "hardware.free", None), "hardware.gpu", None)
    reserve = int(get(asked, "hardware.reserve") or 0)
    shared = Shared()
    needs: dict[float, tuple[int, int, int] | MemcalcError] = {}
    found = []
    for gpu in sorted(gpus.catalogue(), key=lambda one: (one.capacity, one.year, one.name)):
        hardware = Hardware(gpu.name, reserve=reserve)
        device = device_for(hardware)
        assert device is not None
        if device.capability not in needs:
            try:
                needs[device.capability] = _need(put(asked, "hardware.gpu", gpu.name), allow_files, shared)
            except MemcalcError as error:
                needs[device.capability] = error
        need = needs[device.capability]
        if isinstance(need, MemcalcError):
            found.append(CardVerdict(gpu, None, need.message))
            continue
        judged = judge(device, hardware, need)
        verdict = Verdict(*need, judged["capacity"] - reserve, judged["verdict"])
        found.append(CardVerdict(gpu, verdict))
    if not any(one.verdict for one in found):  # the scenario is refused, not the cards
        refused = next(iter(needs.values()))
        assert isinstance(refused, MemcalcError)
        raise refused
    return tuple(found)


def _need(scenario: Mapping[str, Any], allow_files: bool, shared: Shared) -> tuple[int, int, int]:
    """(low, point, high) bytes on the device."""
    if is_pipeline(scenario):
        found = estimate_pipeline(scenario, shared.device)
        low, high = found["range"]["device"]
        return low, found["peak"]["device"], high
    return lay(scenario, allow_files, shared).above.device


def smallest_card(scenario: Mapping[str, Any], allow_files: bool = True) -> CardVerdict | None:
    """The card of least capacity on which the scenario fits; None if there is none."""
    return next((one for one in cards(scenario, allow_files) if one.verdict and one.verdict.fits), None)
