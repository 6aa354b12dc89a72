"""Lesson 9: the timeline of a step; what lives at which moment, and where a card runs out of memory."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

import memcalc
from memcalc import units
from memcalc.components import COMPONENTS
from memcalc.explain import Point, Timeline
from memcalc.hardware.fit import device_for
from memcalc.learn.case import OVERHEAD, Case, Json, ask, device
from memcalc.learn.lesson import Curve, Curves, Lesson, Link, Mark, Question, Rule, Shown, Table, Term, Variable
from memcalc.learn.lessons.variables import PRECISIONS, dashboard
from memcalc.learn.words import LABELS, PHASES, percent
from memcalc.scenario import Scenario

MOMENT: Final = Variable(
    "moment", "How far the run has come, in %", tuple(range(0, 101, 5)), 25,
    "From loading the model through two training steps, block by block: the order of things, not the clock.",
)  # fmt: skip
LENGTH: Final = 1024
ORDER: Final = ("load", "forward", "backward", "optimizer")
CHOICES: Final = ("while it is loaded", "in the forward pass", "in the backward pass", "in the optimizer step")
SUM = "The memory needed is the sum of what everything needs"
CARDS: Final = ("8GB", "16GB", "24GB", "48GB", "80GB")


def scenario(case: Case) -> Json:
    return case.train(LENGTH)


def timeline(case: Case) -> Timeline:
    """The run block by block."""
    return _remembered(json.dumps(scenario(case)))


@lru_cache(maxsize=64)
def _remembered(asked: str) -> Timeline:
    return memcalc.timeline(json.loads(asked), False)


def above(case: Case) -> int:
    """What is on the card above the tensors, the whole run through."""
    peak = ask(scenario(case)).peak
    return int(peak["device"] - peak["tensors"])


def where(point: Point) -> str:
    """A moment's name: ``step 2, backward pass, block 3``."""
    phase = PHASES.get(point.phase, "loading")
    place = "" if point.label == point.phase else f", {point.label}"
    return (f"step {point.step}, " if point.step else "") + f"{phase}{place}"


def unmovable(case: Case) -> int:
    """What is above the tensors even when memory runs out: all but the allocator's reserve, which it then gives "
    "back."""
    over = ask(scenario(case)).overhead
    return int(over["workspace"] + over["context"])


def at(case: Case) -> int:
    """The moment's place among the points."""
    return round(int(case["moment"]) / 100 * (len(timeline(case).points) - 1))


def question(case: Case) -> Question:
    found, run = ask(scenario(case)), timeline(case)
    top = run.points[run.peak]
    largest = next((one for one in run.tensors if one.component in ("temporary", "activations")), run.tensors[0])
    return Question(
        f"{case.begins} is trained on one text of {case.reachable(LENGTH):,} tokens. When does it need most memory?",
        CHOICES,
        ORDER.index(found.peak["phase"]),
        f"In the {PHASES.get(found.peak['phase'], 'loading')}: {units.binary(top.total + above(case))}, at "
        f"“{where(top)}”. The largest of what lives for that moment is “{largest.name}” with "
        f"{units.binary(largest.total)}.",
    )


def show(case: Case) -> Shown:
    run, over, place = timeline(case), above(case), at(case)
    xs = tuple(map(float, range(len(run.points))))
    shown = [name for name in COMPONENTS if any(point.components[name] for point in run.points)]
    curves = [Curve(LABELS[name], xs, tuple(float(point.components[name]) for point in run.points), name)
              for name in shown]  # fmt: skip
    curves.append(Curve(LABELS[OVERHEAD], xs, (float(over),) * len(xs), OVERHEAD))
    now, top = run.points[place], run.points[run.peak]
    marks = [Mark(f"highest: {units.binary(top.total + over)}", float(run.peak), float(top.total + over), "overhead")]
    if place != run.peak:
        marks.append(Mark(f"now: {units.binary(now.total + over)}", float(place), float(now.total + over), "weights"))
    parts = {**now.components, OVERHEAD: over}
    return Shown(
        Curves("the run, block by block", "GiB on the card", tuple(curves), tuple(marks), stacked=True,
               ticks=_turns(run)),
        "Live memory through two training steps, stacked by component. "
        + " ".join(f"{where(point)}: {units.binary(point.total + over)}." for point in _tops(run))
        + f" Highest: {where(top)}.",
        f"Now, {where(now)}: {units.binary(now.total + over)}. "
        + (
            "Nothing is higher in the whole run."
            if now.total == top.total
            else f"That is {percent((now.total + over) / (top.total + over))} of the highest moment ({where(top)}: "
            f"{units.binary(top.total + over)})."
        ),
        (
            *(Term(LABELS[name], "", units.binary(size)) for name, size in parts.items() if size),
            Term("on the card now", where(now), units.binary(now.total + over), True),
        ),
        (_rule(case),),
        ("Every point shows the highest instant of its block.",),
    )  # fmt: skip


def _tops(run: Timeline) -> list[Point]:
    """The highest point of every phase of every step."""
    best: dict[tuple[str, int], Point] = {}
    for point in run.points:
        key = (point.phase, point.step)
        if key not in best or point.total > best[key].total:
            best[key] = point
    return list(best.values())


def _turns(run: Timeline) -> tuple[tuple[float, str], ...]:
    """Where each phase lies: its middle, and its name."""
    places: dict[tuple[str, int], list[int]] = {}
    for i, point in enumerate(run.points):
        places.setdefault((point.phase, point.step), []).append(i)
    return tuple(
        ((held[0] + held[-1]) / 2, f"{phase} {step}")
        for (phase, step), held in places.items()
        if len(held) > len(run.points) / 20
    )


def _rule(case: Case) -> Rule:
    found = ask(scenario(case))
    total = sum(found.component_peak.values()) + above(case)
    more = total / device(found) - 1
    return Rule(
        SUM, more < 0.02,
        f"The largest of each component add up to {units.binary(total)}, {percent(more)} more than the highest moment "
        f"({units.binary(device(found))}): they do not all live at once.",
    )  # fmt: skip


def remember(case: Case) -> tuple[str, ...]:
    found = ask(scenario(case))
    first = [one for one in found.phases if one["step"] == 1]
    later = [one for one in found.phases if one["step"] == 2]
    most = [max(int(one["tensors"]) for one in phases) + above(case) for phases in (first, later)]
    said = (
        f"the first step reaches {units.binary(most[0])}, the second {units.binary(most[1])}"
        if most[1] > most[0]
        else f"both steps reach {units.binary(most[1])}"
    )
    return (
        f"Out of memory strikes at a moment, not on average: for {case.name} in the "
        f"{PHASES.get(found.peak['phase'], 'loading')}.",
        f"The first step is not the whole truth: optimizer states appear in its last phase. Here {said}.",
        "A large vocabulary makes the logits the end of the forward pass; an optimizer that works on all weights "
        "together makes copies of them. What lives for a moment counts as much as what stays.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Where each card runs out."""
    run, over = timeline(case), unmovable(case)
    rows = []
    for name in CARDS:
        card = device_for(Scenario.read({**scenario(case), "hardware": {"gpu": name}}).hardware)
        assert card is not None
        first = next((one for one in run.points if one.total + over > card.capacity), None)
        rows.append((
            name.replace("GB", " GB"), units.binary(card.capacity),
            "runs through" if first is None else where(first),
            "–" if first is None else units.binary(first.total + over),
        ))  # fmt: skip
    return (
        Table(
            "Where a card of each size runs out of memory first (the allocator’s reserve is given back by then)",
            ("card", "it has", "first moment", "needs"),
            tuple(rows),
        ),
    )


def fixed(case: Case) -> str:
    return f"{case.name}, one text of {case.reachable(LENGTH):,} tokens, AdamW, {PRECISIONS['bf16-mixed']}."


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(case)
    return (
        Link("The timeline, with every tensor by name", "timeline", here),
        Link("The same against a card", "", here),
    )


LESSON = Lesson(
    title="The peak is a moment",
    idea="A card is full at one instant of the step. What lives at that instant decides, not what lives on average.",
    variables=(MOMENT,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    map_title="Where cards run out of memory",
    terms=(
        "peak",
        "training step",
        "block",
        "logits",
        "temporary and overhead",
        "activations",
        "optimizer states",
        "reserved",
        "workspace",
    ),
)
