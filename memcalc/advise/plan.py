"""The cheapest set of changes that makes a scenario fit.

Changes that cost no more than a flag or a package (``minor``) come second: first the least total cost of the others is
found, then as few of the minor ones as possible. Sets of the others are tried in the order of their cost, each with all
minor changes made; the first that fits is the cheapest, as long as no change makes anything larger beside the others.

Most sets need not be tried. Those that agree in what decides the weights on the card (method, precision, model, cards)
form a class; where a class does not fit even with everything else that helps, none of its sets does. At most MOST sets
are tried, so that an answer comes at once; where that was too few, ``complete`` says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from memcalc.advise.advice import Scale, advise
from memcalc.advise.changes import Change
from memcalc.scenario.paths import Json
from memcalc.solve.verdict import Verdict

MOST = 160
"""Sets tried at most, so that an answer comes at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``changes`` make ``scenario`` out of what was asked, with this verdict. ``fits``: whether they are enough; else
    they are the set that comes closest. ``complete``: whether every cheaper set was tried."""

    changes: tuple[Change, ...]
    scenario: Json
    verdict: Verdict
    fits: bool
    tried: int
    complete: bool

    @property
    def pain(self) -> int:
        return sum(one.cost.pain for one in self.changes)


def plan(scenario: Mapping[str, Any], allow_files: bool = True, scale: Scale | None = None) -> Plan:
    """The cheapest set of the changes that ``advise`` knows which makes the scenario fit.

    >>> [one.title for one in plan({"model": "gpt2", "task": "train", "hardware": {"gpu": "16GB"}}).changes]
    []
    """
    scale = scale or Scale(allow_files)
    advice = advise(scenario, allow_files, scale)
    asked = advice.scenario
    if advice.now.fits or advice.now.state == "unknown":
        return Plan((), asked, advice.now, advice.now.fits, 0, True)
    search = _Search(asked, [one.change for one in advice.items], scale)
    return search.run(advice.now)


class _Search:
    """The useful changes of one scenario, sorted; and the classes of sets that cannot fit."""

    def __init__(self, asked: Json, useful: Sequence[Change], scale: Scale) -> None:
        self.asked, self.scale = asked, scale
        self.minors = [one for one in useful if one.minor]
        self.majors = sorted((one for one in useful if not one.minor), key=lambda one: one.cost.pain)
        self.strongest = _strongest(asked, useful, scale)
        before = self._phases(())["load"]
        self.weighty = {one.key for one in useful if self._phases((one,))["load"] != before}
        self.hopeless: dict[tuple[str, ...], bool] = {}
        self.tried = 0
        self.best: tuple[tuple[Change, ...], Verdict] | None = None

    def run(self, now: Verdict) -> Plan:
        """The plan, or what comes closest to one."""
        for chosen in _by_cost(self.majors):
            if self.tried >= MOST:
                break
            if self._hopeless(chosen):
                continue
            minors = _compatible(self.minors, chosen)
            found = self._weigh((*minors, *chosen))
            if found is not None and found.fits:
                fewest, verdict = self._fewest(minors, chosen)
                return Plan(fewest, _made(self.asked, fewest), verdict, True, self.tried, True)
        complete = self.tried < MOST
        if self.best is None or self.best[1].high >= now.high:
            return Plan((), self.asked, now, False, self.tried, complete)
        changes, verdict = self.best
        return Plan(changes, _made(self.asked, changes), verdict, verdict.fits, self.tried, complete)

    def _phases(self, changes: Sequence[Change]) -> Mapping[str, int]:
        found = self.scale.weigh(_made(self.asked, changes))
        return found.phases if found else {"load": -1}

    def _weigh(self, changes: Sequence[Change]) -> Verdict | None:
        self.tried += 1
        found = self.scale.weigh(_made(self.asked, changes))
        if found is None:
            return None
        if self.best is None or found.verdict.high < self.best[1].high:
            self.best = (tuple(changes), found.verdict)
        return found.verdict

    def _hopeless(self, chosen: Sequence[Change]) -> bool:
        """Whether the sets of this class cannot fit: those with the same changes to the weights."""
        fixed = [one for one in chosen if one.key in self.weighty]
        name = tuple(one.key for one in fixed)
        if name not in self.hopeless:
            always = (*_compatible(self.minors, fixed), *fixed)
            taken = {one.group for one in always}
            others = [one for one in self.strongest.values() if one.group not in taken and one.key not in self.weighty]
            found = self._weigh((*others, *always))
            self.hopeless[name] = found is not None and not found.fits
        return self.hopeless[name]

    def _fewest(self, minors: Sequence[Change], chosen: Sequence[Change]) -> tuple[tuple[Change, ...], Verdict]:
        """The fewest and cheapest minor changes that are enough beside the chosen ones."""
        sets = [one for count in range(len(minors) + 1) for one in combinations(minors, count)]
        sets.sort(key=lambda one: (sum(change.cost.pain for change in one), len(one)))
        for some in sets:
            found = self._weigh((*some, *chosen))
            if found is not None and found.fits:
                return (*some, *chosen), found
        raise AssertionError("all minor changes together were enough")


def _strongest(asked: Json, useful: Sequence[Change], scale: Scale) -> dict[str, Change]:
    """Of each group the change that leaves least over all phases."""
    found: dict[str, tuple[int, Change]] = {}
    for one in useful:
        weighed = scale.weigh(one.apply(asked))
        left = sum(weighed.phases.values()) if weighed else 2**62
        if one.group not in found or left < found[one.group][0]:
            found[one.group] = (left, one)
    return {group: one for group, (_, one) in found.items()}


def _made(scenario: Json, changes: Sequence[Change]) -> Json:
    for change in changes:
        scenario = change.apply(scenario)
    return scenario


def _compatible(minors: Sequence[Change], chosen: Sequence[Change]) -> tuple[Change, ...]:
    """The minor changes that no chosen one excludes."""
    taken = {one.group for one in chosen}
    found: dict[str, Change] = {}
    for one in minors:
        if one.group not in taken:
            found.setdefault(one.group, one)
    return tuple(found.values())


def _by_cost(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """Sets of changes, at most one of a group, in the order of their total cost; the empty set first. Deterministic."""
    queue: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    while queue:
        pain, _, chosen = heapq.heappop(queue)
        yield tuple(changes[i] for i in chosen)
        groups = {changes[i].group for i in chosen}
        for i in range(chosen[-1] + 1 if chosen else 0, len(changes)):
            if changes[i].group not in groups:
                heapq.heappush(queue, (pain + changes[i].cost.pain, len(chosen) + 1, (*chosen, i)))
