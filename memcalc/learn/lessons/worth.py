"""Lesson 5: what a card for inference is worth in training, and back; where "80 to 160 GB" is true."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.learn.case import Case, Json, ask, device
from memcalc.learn.lesson import Curve, Curves, Lesson, Link, Mark, Question, Rule, Shown, Table, Term, Variable
from memcalc.learn.lessons.variables import OPTIMIZER, PRECISIONS, SEQUENCES, TRAINED_IN, dashboard
from memcalc.learn.words import nearest, times

CARD: Final = Variable(
    "card", "Card, in GB", (4, 8, 12, 16, 24, 32, 48, 80, 96, 141), 16, "Memory as it is written on the card's box.",
)  # fmt: skip
RULE = "A 16 GB inference card is worth 80 to 160 GB of training"
CLAIMED: Final = (5.0, 10.0)
"""80 / 16 and 160 / 16: how many bytes of training the rule gives for each byte of inference."""
LENGTH: Final = 1024
NEW: Final = 128
RATIOS: Final = (1.25, 2.5, 5.0, 10.0, 20.0)
CHOICES: Final = ("about 20 GB", "about 40 GB", "about 80 GB", "about 160 GB", "about 320 GB")
MODELS: Final = ("gpt2", "Llama-3.2-1B", "Llama-3.1-8B", "Qwen2.5-32B", "Llama-3.1-70B", "Mixtral-8x7B")


def training(case: Case, batch: int = 1, precision: str = "bf16-mixed", **settings: str) -> Json:
    return case.train(LENGTH, batch, precision, **settings)


def inference(case: Case, batch: int = 1, precision: str = "bf16") -> Json:
    return case.infer(LENGTH, batch, "fp32" if precision == "fp32" else "bf16", NEW)


def worth(case: Case, batch: int = 1, precision: str = "bf16-mixed", **settings: str) -> float:
    """Bytes of training for each byte of inference: the same model, the same batch."""
    return device(ask(training(case, batch, precision, **settings))) / device(ask(inference(case, batch, precision)))


def question(case: Case) -> Question:
    ratio = worth(case)
    return Question(
        f"A card of 16 GB is filled by models like {case.name}, used on one text. On how much memory could the same "
        "models be trained, with AdamW in mixed precision?",
        CHOICES,
        nearest(ratio, RATIOS),
        f"{16 * ratio:.0f} GB: {case.name} needs {times(ratio)} as much for training "
        f"({units.decimal(device(ask(training(case))))}) as for inference "
        f"({units.decimal(device(ask(inference(case))))}).",
    )


def show(case: Case) -> Shown:
    card, ratio = case["card"], worth(case)
    train, infer = (device(ask(one)) / units.GB for one in (training(case), inference(case)))
    end = 1.5 * card
    xs = (0.0, end)
    curves = [
        Curve("10 × (the rule’s high end)", xs, (0.0, CLAIMED[1] * end), "overhead", True),
        Curve("5 × (its low end)", xs, (0.0, CLAIMED[0] * end), "overhead", True),
        Curve(f"{times(ratio)}: {case.name}", xs, (0.0, ratio * end), "gradients", quiet=True),
    ]
    marks = [Mark(f"{card} GB ↔ {card * ratio:,.0f} GB", float(card), card * ratio, "gradients")]
    if infer < 0.75 * card:
        marks.append(Mark("the model itself", infer, train, "weights"))
    back = f"The other way, {card} GB of training is worth {card / ratio:.1f} GB of inference."
    return Shown(
        Curves("GB for inference", "GB for training", tuple(curves), tuple(marks), unit="GB"),
        f"GB of training over GB of inference. A straight line of {times(ratio)} for {case.name}, beside the rule’s 5 "
        f"and 10 times. {card} GB of inference lie at {card * ratio:,.0f} GB of training.",
        f"{card} GB of inference with models like {case.name} is worth {card * ratio:,.0f} GB of training. {back}",
        (
            Term("training", f"{case.name}, one text", f"{train:,.1f} GB"),
            Term("inference", "the same model and text", f"{infer:,.1f} GB"),
            Term("worth", f"{train:,.1f} ÷ {infer:,.1f}", times(ratio)),
            Term("this card, trained", f"{card} GB × {ratio:.1f}", f"{card * ratio:,.0f} GB", True),
            Term("this card, used", f"{card} GB ÷ {ratio:.1f}", f"{card / ratio:.1f} GB", True),
        ),
        (_rule(case, ratio),),
        _notes(card, infer),
    )  # fmt: skip


def _rule(case: Case, ratio: float) -> Rule:
    low, high = CLAIMED
    said = f"16 GB × {ratio:.1f} = {16 * ratio:.0f} GB for {case.name}, one text, AdamW in mixed precision."
    if ratio > high:
        said += " More than the rule says."
    elif ratio < low:
        said += " Less than the rule says."
    return Rule(RULE, low <= ratio <= high, said)


def _notes(card: int, infer: float) -> tuple[str, ...]:
    if infer <= card:
        return ()
    return (
        f"The model itself does not fit a card of {card} GB even for inference: it needs {infer:,.1f} GB. The line "
        "then speaks of smaller models with the same proportions.",
    )


def remember(case: Case) -> tuple[str, ...]:
    many = worth(case, 32)
    return (
        "A rule in GB is a rule about a ratio: 80 to 160 GB for 16 GB means 5 to 10 bytes of training for each byte of "
        "inference.",
        f"It comes from bytes per parameter: 16 and more for training with AdamW, 2 for inference in 16 bits. For "
        f"{case.name} and one text it is {times(worth(case))}.",
        f"With more texts at once training grows faster than inference: {times(many)} at batch 32.",
        "Another optimizer or precision is another ratio; ask for it before you convert.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Where the rule is true: over precision and optimizer, over the batch, over models."""
    cases = case.beside(MODELS)
    return (
        _table("By precision and optimizer", "training in", TRAINED_IN.values, OPTIMIZER.values,
               [[_worth(case, 1, row, column) for column in OPTIMIZER.values] for row in TRAINED_IN.values]),
        _table("By model and batch", "model", tuple(one.name for one in cases),
               tuple(f"batch {one}" for one in SEQUENCES.values),
               [[_worth(one, batch) for batch in SEQUENCES.values] for one in cases]),
    )  # fmt: skip


def _worth(case: Case, batch: int, precision: str = "bf16-mixed", optimizer: str = "adamw") -> float | None:
    try:
        return worth(case, batch, precision, optimizer=optimizer)
    except MemcalcError:
        return None  # a pair that does not go together


def _table(
    caption: str, corner: str, down: tuple[str, ...], across: tuple[str, ...], ratios: list[list[float | None]]
) -> Table:
    return Table(
        f"{caption}: what 16 GB of inference is worth in training, in GB; marked where it is 80 to 160",
        (corner, *across),
        tuple(
            (name, *("–" if one is None else f"{16 * one:,.0f}" for one in row))
            for name, row in zip(down, ratios, strict=True)
        ),
        {
            (i, j): "true"
            for i, row in enumerate(ratios)
            for j, one in enumerate(row, 1)
            if one is not None and CLAIMED[0] <= one <= CLAIMED[1]
        },
    )


def fixed(case: Case) -> str:
    return (
        f"{case.name}, one text of {case.reachable(LENGTH):,} tokens, AdamW, {PRECISIONS['bf16-mixed']}; inference in "
        f"bf16 writes {NEW} tokens."
    )


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(case)
    return (
        Link("Both on a card of your choice", "", here),
        Link("Which cards run it", "cards", here),
    )


LESSON = Lesson(
    title=f"“{RULE}”",
    idea="The same work needs a small card to use a model and a large one to train it; the ratio can be worked out.",
    variables=(CARD,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    terms=("inference", "16 GB card", "GiB and GB"),
)
