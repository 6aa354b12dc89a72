"""Lesson 4: the same batch in pieces, or with its activations computed again: memory against time."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.estimate import Estimate
from memcalc.learn.case import Case, ask, device
from memcalc.learn.lesson import Curve, Curves, Lesson, Link, Mark, Question, Rule, Shown, Table, Term, Variable
from memcalc.learn.lessons.variables import PRECISIONS, dashboard
from memcalc.learn.step_time import COMPUTES, MOVES, PASS_BYTES, StepTime, step_time
from memcalc.learn.words import between, percent

BATCH: Final = 16
MICRO: Final = Variable(
    "micro", "Micro-batches per step", (1, 2, 4, 8, 16), 1,
    f"{BATCH} texts make one step. In how many pieces they go through the model: 1 is all at once, {BATCH} is text by "
    "text.",
)  # fmt: skip
LENGTH: Final = 1024
EDGES: Final = (0.10, 0.30, 0.60, 0.90)
CHOICES: Final = ("up to 10 %", "10 to 30 %", "30 to 60 %", "60 to 90 %", "more than 90 %")
WAYS: Final = ("none", "full")
ACCUMULATE = "Accumulating gradients text by text divides the memory by the number of texts"
CHECKPOINT = "Checkpointing costs a third more time"


NOTES: Final = (
    "The time is assumed by a simple model; nothing of it is measured. It computes at "
    f"{COMPUTES / 1e12:.0f} × 10¹² operations a second, half of what an A100’s data sheet promises, and moves "
    f"{PASS_BYTES} bytes for each parameter and piece at {MOVES / 1e12:.0f} TB a second.",
    "Operations for each parameter and token: 2 forward and 4 backward, 1 to 2 (Kaplan et al., arXiv 2001.08361; Epoch "
    "AI, “What’s the backward-forward FLOP ratio for neural networks?”), and 2 again with checkpointing (Chen et al., "
    "arXiv 1604.06174). Real runs differ: Hugging Face’s documentation speaks of about 20 % more time.",
)
"""Where the time comes from; the last figure: huggingface.co/docs/transformers/en/grad_checkpointing."""


def found(case: Case, micro: int, checkpointing: str = "none") -> Estimate:
    """The step's estimate: ``micro`` pieces of the same ``BATCH`` texts."""
    return ask(case.train(LENGTH, BATCH // micro, grad_accumulation=micro, checkpointing=checkpointing))


def takes(case: Case, micro: int, checkpointing: str = "none") -> StepTime:
    """The step's time, by the simple model."""
    active = found(case, micro).parameters["active"]
    return step_time(active, BATCH * case.reachable(LENGTH), micro, checkpointing == "full")


def slower(case: Case, micro: int, checkpointing: str = "none") -> float:
    """How many times as long as the whole batch at once takes."""
    return takes(case, micro, checkpointing).total / takes(case, 1).total


def activations(case: Case, micro: int, checkpointing: str = "none") -> int:
    return int(found(case, micro, checkpointing).component_peak["activations"])


def question(case: Case) -> Question:
    whole, single = found(case, 1), found(case, BATCH)
    share = activations(case, BATCH) / activations(case, 1)
    return Question(
        f"{case.begins} learns from {BATCH} texts in one step; its activations take "
        f"{units.binary(activations(case, 1))}. Now the texts go through one by one, their gradients are added up, and "
        f"the optimizer still takes one step. What share of the activations is left?",
        CHOICES,
        between(share, EDGES),
        f"{percent(share)}: {units.binary(activations(case, BATCH))}. The gradients are the same, and in all "
        f"{units.binary(device(single))} are needed instead of {units.binary(device(whole))}.",
    )


def show(case: Case) -> Shown:
    micro = case["micro"]
    points = {way: [(slower(case, one, way), float(device(found(case, one, way)))) for one in MICRO.values]
              for way in WAYS}  # fmt: skip
    curves = (
        Curve("accumulated", *_columns(points["none"]), "activations"),
        Curve("… and checkpointed", *_columns(points["full"]), "kv_cache"),
    )
    at = MICRO.values.index(micro)
    marks = tuple(
        Mark(f"{micro} × {BATCH // micro}: {units.binary(points[way][at][1])}", *points[way][at], part)
        for way, part in (("none", "activations"), ("full", "kv_cache"))
    )
    now, both = (found(case, micro, way) for way in WAYS)
    return Shown(
        Curves("times as long as all at once", "GiB on the card", curves, marks, start=0.95),
        "Memory over time. "
        + " ".join(
            f"{name}: " + "; ".join(f"in {one}: {units.binary(size)}, {long:.2f} times as long"
                                    for one, (long, size) in zip(MICRO.values, points[way], strict=True)) + "."
            for way, name in (("none", "Accumulated"), ("full", "Accumulated and checkpointed"))
        ),
        f"In {micro} {'piece' if micro == 1 else 'pieces'} of {BATCH // micro}: {units.binary(device(now))}, "
        f"{points['none'][at][0]:.2f} times as long. With checkpointing {units.binary(device(both))}, "
        f"{points['full'][at][0]:.2f} times.",
        _formula(case, micro),
        _rules(case),
        NOTES,
    )  # fmt: skip


def _columns(points: list[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
    return tuple(x for x, _ in points), tuple(y for _, y in points)


def _formula(case: Case, micro: int) -> tuple[Term, ...]:
    each, whole = activations(case, micro), activations(case, 1)
    time, once = takes(case, micro), takes(case, 1)
    return (
        Term("texts in memory at once", f"{BATCH} ÷ {micro}", str(BATCH // micro)),
        Term("activations", f"{units.binary(whole)} for all at once", units.binary(each)),
        Term("highest instant", "weights and all else besides", units.binary(device(found(case, micro))), True),
        Term("computing", "the same whatever the pieces", f"{time.computing:.3g} s"),
        Term("parameters moved", f"{micro} × {once.passes:.2g} s + the optimizer’s {time.optimizer:.2g} s",
             f"{time.passes + time.optimizer:.3g} s"),
        Term("step", f"{time.total / once.total:.2f} times as long", f"{time.total:.3g} s", True),
    )  # fmt: skip


def _rules(case: Case) -> tuple[Rule, ...]:
    share = device(found(case, BATCH)) / device(found(case, 1))
    longer = slower(case, 1, "full") - 1
    return (
        Rule(ACCUMULATE, abs(share - 1 / BATCH) < 0.02,
             f"{percent(share)} of the memory remain, not {percent(1 / BATCH)}: weights, gradients and optimizer "
             "states are there once, whatever the pieces."),
        Rule(CHECKPOINT, abs(longer - 1 / 3) < 0.05,
             f"{percent(longer)} more by the model: one more forward pass, 8 operations for each parameter and token "
             "instead of 6."),
    )  # fmt: skip


def remember(case: Case) -> tuple[str, ...]:
    kept = activations(case, 1, "full") / activations(case, 1)
    return (
        "The gradient of a batch is the sum of its texts’ gradients: added up piece by piece it is the same (for texts "
        "of equal length, up to rounding).",
        "Only one piece’s activations are in memory at a time; the price is that every piece moves all weights and "
        f"gradients again: {slower(case, BATCH):.2f} times as long text by text here.",
        f"Checkpointing keeps {percent(kept)} of the activations and computes the rest again: "
        f"{slower(case, 1, 'full'):.2f} times as long.",
        "Neither touches weights, gradients or optimizer states.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Memory and time of every combination."""
    rows = []
    for micro in MICRO.values:
        cells = [f"{micro} × {BATCH // micro}"]
        for way in WAYS:
            cells += [units.binary(activations(case, micro, way)), units.binary(device(found(case, micro, way))),
                      f"{slower(case, micro, way):.2f}"]  # fmt: skip
        rows.append(tuple(cells))
    return (
        Table("Activations, highest instant and time (times as long as all at once), without and with checkpointing",
              ("pieces", "activations", "highest", "time", "checkpointed: activations", "highest", "time"),
              tuple(rows)),
    )  # fmt: skip


def fixed(case: Case) -> str:
    return (
        f"{case.name}, {BATCH} texts of {case.reachable(LENGTH):,} tokens in each step, AdamW, "
        f"{PRECISIONS['bf16-mixed']}."
    )


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(case, batch=BATCH // case["micro"])
    return (
        Link("Accumulation, checkpointing and more", "training", here),
        Link("See it over the step", "timeline", here),
    )


LESSON = Lesson(
    title="Same batch, less memory",
    idea="Activations need not all be there at once: take the batch in pieces, or compute them again. Both cost time.",
    variables=(MICRO,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    map_title="Every combination",
    terms=(
        "micro-batch",
        "gradient",
        "gradient accumulation",
        "activations",
        "gradient checkpointing",
        "training step",
    ),
)
