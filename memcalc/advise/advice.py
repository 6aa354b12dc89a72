"""The list: every change that would help, what it saves by two estimates, ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.advise import costs, inference, pictures, training
from memcalc.advise.changes import Change, Now, read, set_to
from memcalc.diffusion import estimate_pipeline, is_pipeline
from memcalc.errors import MemcalcError
from memcalc.estimate import lay
from memcalc.hardware.fit import judge
from memcalc.hardware.machine import Machine
from memcalc.models import catalogue
from memcalc.models.families import families, family
from memcalc.scenario.paths import Json
from memcalc.shared import Shared
from memcalc.solve.verdict import Verdict, of_pipeline, understood
from memcalc.units import MiB

NOTHING = 2 * MiB
"""Bytes: a smaller difference is the allocator's rounding."""
HARDLY = 200
"""A change that saves less than this part of the memory is not worth a line, unless it makes the scenario fit."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a scenario needs: the verdict, and the highest instant of each phase (bytes)."""

    verdict: Verdict
    phases: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One change: the verdict with it, and ``saves``, the bytes by which it lowers the high end of the range. Where it
    does not lower the peak (or even raises it: negative), ``phase`` names the phase that it lowers, and ``there`` says
    by how much: beside other changes it may be worth it."""

    change: Change
    verdict: Verdict
    saves: int
    phase: str = ""
    there: int = 0


@dataclass(frozen=True, slots=True)
class Advice:
    """The scenario's own verdict, and the changes, best first."""

    scenario: Json
    now: Verdict
    items: tuple[Item, ...]


class Scale:
    """Weighs scenarios for one piece of advice; equal ones are weighed once, and equal tapes run once."""

    def __init__(self, allow_files: bool = True, machine: Machine | None = None) -> None:
        self.allow_files = allow_files
        self.shared = Shared(machine=machine)
        self.known: dict[str, Weighed | None] = {}

    def weigh(self, scenario: Json) -> Weighed | None:
        """None for what the core refuses."""
        key = repr(scenario)
        if key not in self.known:
            try:
                self.known[key] = self.weigh_or_raise(scenario)
            except MemcalcError:
                self.known[key] = None
        return self.known[key]

    def weigh_or_raise(self, scenario: Json) -> Weighed:
        if is_pipeline(scenario):
            return _pipeline(estimate_pipeline(scenario, self.shared.device))
        laid = lay(scenario, self.allow_files, self.shared)
        low, point, high = laid.above.device
        limit, state = high, "unknown"
        if laid.device is not None:
            judged = judge(laid.device, laid.question.scenario.hardware, laid.above.device)
            limit, state = judged["capacity"] - judged["reserve"], judged["verdict"]
        phases: dict[str, int] = {}
        for one in laid.stages:
            phases[one.phase] = max(phases.get(one.phase, 0), one.peak)
        return Weighed(Verdict(low, point, high, limit, state), phases)


def _pipeline(found: Json) -> Weighed:
    """An image pipeline's estimate as the scale reads it."""
    return Weighed(of_pipeline(found), {one["name"]: int(one["tensors"]) for one in found["phases"]})


def candidates(scenario: Json) -> list[Change]:
    """Every change that the scenario offers, in a fixed order; not yet weighed."""
    now = Now.of(scenario)
    makers = training.MAKERS if now.get("task") == "train" else inference.MAKERS
    if is_pipeline(scenario):
        makers = pictures.MAKERS
    found = [change for make in makers for change in make(now) if _goes(change, scenario)]
    less = _smaller_model(scenario)
    return [*found, less] if less else found


def _goes(change: Change, scenario: Json) -> bool:
    """Whether the change can be combined with the rest of the scenario."""
    try:
        read(change.apply(scenario))
    except MemcalcError:
        return False
    return True


def _smaller_model(scenario: Json) -> Change | None:
    """The next smaller model of the same family."""
    model = scenario.get("model")
    if not isinstance(model, str):
        return None
    try:
        name = catalogue.find(model).name
    except MemcalcError:
        return None
    members = families()[family(name)]
    place = members.index(name)
    if not place:
        return None
    return set_to("smaller-model", "model", f"{members[place - 1]} in its place", costs.SMALLER_MODEL,
                  model=members[place - 1])  # fmt: skip


def advise(scenario: Mapping[str, Any], allow_files: bool = True, scale: Scale | None = None) -> Advice:
    """The changes that lower the memory of ``scenario``, best first: what makes it fit by itself, least cost first;
    then what helps, by what it saves for what it costs. Changes that save nothing anywhere are left out.

    >>> found = advise({"model": "Llama-3.2-1B", "task": "train", "hardware": {"gpu": "16GB"}})
    >>> found.items[0].saves > 0
    True
    """
    scale = scale or Scale(allow_files)
    asked = understood(scenario, allow_files)
    now = scale.weigh_or_raise(asked)
    items = []
    for change in candidates(asked):
        there = scale.weigh(change.apply(asked))
        item = _item(change, now, there) if there else None
        if item:
            items.append(item)
    fits_now = now.verdict.fits

    def rank(item: Item) -> tuple[float, ...]:
        if item.verdict.fits and not fits_now:
            return (0, item.change.cost.pain, -item.saves)
        return (1 if item.saves >= 0 else 2, -item.saves / (1 + item.change.cost.pain), -item.there)

    return Advice(asked, now.verdict, tuple(sorted(items, key=rank)))


def _item(change: Change, now: Weighed, there: Weighed) -> Item | None:
    """The change with what it saves; None if that is nothing, in no phase."""
    least = max(NOTHING, now.verdict.high // HARDLY)
    saves = now.verdict.high - there.verdict.high
    if saves >= least or (there.verdict.fits and not now.verdict.fits):
        return Item(change, there.verdict, saves)
    lower = {phase: now.phases.get(phase, 0) - size for phase, size in there.phases.items() if phase != "load"}
    phase = max(lower, key=lambda one: lower[one], default="")
    if phase and lower[phase] >= least:
        return Item(change, there.verdict, min(0, saves), phase, lower[phase])
    return None
