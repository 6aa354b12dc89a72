"""Lesson 2: the same model and batch, trained and used; how much less inference needs, and where the rules hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.estimate import Estimate
from memcalc.learn.case import Case, Json, ask, device, parts, swept
from memcalc.learn.lesson import Bars, Lesson, Link, Question, Rule, Shown, Stack, Table, Term
from memcalc.learn.lessons.variables import (
    METHOD,
    OPTIMIZER,
    SEQUENCES,
    TOKENS,
    TRAINED_IN,
    dashboard,
)  # fmt: skip
from memcalc.learn.words import LABELS, PHASES, between, joined, listed, percent

RULES = {
    "Inference needs 50 to 70 % less memory than training": (0.50, 0.70),
    "Inference needs 30 to 50 % less memory than training": (0.30, 0.50),
}
"""Rules of thumb as an article has them, and the shares that they claim."""
EDGES = (0.30, 0.50, 0.70, 0.85)
CHOICES = ("up to 30 % less", "30 to 50 % less", "50 to 70 % less", "70 to 85 % less", "more than 85 % less")
NEW = 128
"""Tokens that inference writes after each text."""
MODELS = ("gpt2", "Llama-3.2-1B", "Llama-3.1-8B", "Qwen2.5-32B", "Llama-3.1-70B")
METHODS = {"full": "Full", "lora": "LoRA", "qlora": "QLoRA"}


def training(case: Case) -> Json:
    """The training of the reader's case."""
    return case.train(case["tokens"], case["sequences"], case["format"], optimizer=case["updates"],
                      method=case["trained"])  # fmt: skip


def inference(case: Case) -> Json:
    """The same model over the same texts; in the format that the training computes in."""
    return case.infer(case["tokens"], case["sequences"], "fp32" if case["format"] == "fp32" else "bf16", NEW)


def saving(case: Case) -> float:
    """What inference needs less than training, as a share of what training needs."""
    return 1 - device(ask(inference(case))) / device(ask(training(case)))


def question(case: Case) -> Question:
    train, infer = device(ask(training(case))), device(ask(inference(case)))
    share = 1 - infer / train
    return Question(
        f"Training {case.name} with AdamW on one text of {case.reachable(case['tokens']):,} tokens needs "
        f"{units.binary(train)}. How much less does it need to use the model on the same text?",
        CHOICES,
        between(round(share, 2), EDGES),
        f"{percent(share)} less: {units.binary(infer)} instead of {units.binary(train)}. What is left are the weights, "
        "in the 16 bits that are computed with, and a small cache of the text.",
    )


def show(case: Case) -> Shown:
    train, infer = ask(training(case)), ask(inference(case))
    stacks = (Stack("Training", parts(train), True), Stack("Inference", parts(infer)))
    share = 1 - device(infer) / device(train)
    gone = {name: size for name, size in stacks[0].parts.items() if size and not stacks[1].parts[name]}
    return Shown(
        Bars(stacks),
        "Training and inference at their highest instants, stacked by component. "
        + " ".join(f"{one.label}, {units.binary(one.total)}: {listed(one.parts)}." for one in stacks),
        f"Inference needs {percent(share)} less: {units.binary(device(infer))} instead of "
        f"{units.binary(device(train))}." + (f" Not needed at all: {listed(gone)}." if gone else ""),
        (
            *(_term(name, stacks) for name in stacks[0].parts if any(one.parts[name] for one in stacks)),
            Term("saving", f"1 − {units.binary(device(infer))} ÷ {units.binary(device(train))}", percent(share), True),
        ),
        tuple(_rule(text, claimed, share) for text, claimed in RULES.items()),
        (*_rest(stacks), *_notes(train), *_cached(infer)),
    )


def _rest(stacks: tuple[Stack, ...]) -> tuple[str, ...]:
    """What inference needs too, but less of: the part of the saving that the headline does not name."""
    pairs = {name: (size, stacks[1].parts[name]) for name, size in stacks[0].parts.items()}
    shrunk = {name: train - infer for name, (train, infer) in pairs.items() if train > infer > 0}
    if not shrunk:
        return ()
    less = ", ".join(f"{LABELS[name]} −{units.binary(size)}" for name, size in shrunk.items())
    return (f"Needed too, but less of it: {less}.",)


def _notes(train: Estimate) -> tuple[str, ...]:
    most = train.component_peak["activations"]
    if train.at_peak["activations"] > most / 2:
        return ()
    where = {"backward": "at the end of the backward pass, which has used them up"}.get(
        train.peak["phase"], f"in the {PHASES[train.peak['phase']]}, and there they are gone"
    )
    return (
        f"Where are the activations? Training is highest {where}; in the forward pass they take up to "
        f"{units.binary(most)} (lesson 1).",
    )


def _cached(infer: Estimate) -> tuple[str, ...]:
    """When inference is highest, which says what of the text is in its cache."""
    if infer.peak["phase"] != "prefill":
        return ()
    return (
        "Inference is highest in the prefill, where it reads the text: the KV cache "
        f"({units.binary(infer.at_peak['kv_cache'])}) holds that text, and no new tokens yet.",
    )


def _term(name: str, stacks: tuple[Stack, ...]) -> Term:
    train, infer = (one.parts[name] for one in stacks)
    return Term(LABELS[name], f"training {units.binary(train)}, inference {units.binary(infer)}",
                f"−{units.binary(train - infer)}" if train >= infer else f"+{units.binary(infer - train)}")  # fmt: skip


def _rule(text: str, claimed: tuple[float, float], share: float) -> Rule:
    low, high = claimed
    if low <= share <= high:
        return Rule(text, True, f"True for this case: {percent(share)} less.")
    way = "more is saved than the rule says" if share > high else "less is saved than the rule says"
    return Rule(text, False, f"Not here: {percent(share)} less, so {way}.")


def remember(case: Case) -> tuple[str, ...]:
    share = saving(case)
    small, adapters = _saving(case.at(format="bf16", updates="sgd")), _saving(case.at(trained="lora"))
    others = [f"{percent(one)} less for {what}" for one, what in (
        (small, "16 bits throughout with plain SGD"), (adapters, "LoRA adapters")) if one is not None]  # fmt: skip
    return (
        "Inference holds the weights, a cache of the text and little else: no gradients, no optimizer states, nothing "
        "kept for a backward pass.",
        f"For {case.name} with AdamW in mixed precision that is {percent(share)} less"
        + (f"; {joined(others)}." if others else "."),
        "No single percentage is true for all: ask which optimizer, which precision, and how many tokens.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Where each rule holds: over precision and optimizer, over batch and length, and over models."""
    return (
        _grid(
            "By precision and optimizer", "training in",
            [(one, {"format": one}) for one in TRAINED_IN.values],
            [(one, {"updates": one}) for one in OPTIMIZER.values], case,
        ),
        _lengths(case),
        _models(case),
    )  # fmt: skip


def _grid(
    caption: str, corner: str, down: list[tuple[str, dict[str, Any]]], across: list[tuple[str, dict[str, Any]]],
    case: Case,
) -> Table:  # fmt: skip
    shares = [[_saving(case.at(**one, **other)) for _, other in across] for _, one in down]
    return _table(caption, corner, [name for name, _ in down], [name for name, _ in across], shares)


def _saving(case: Case) -> float | None:
    try:
        return saving(case)
    except MemcalcError:
        return None  # settings that do not go together


def _lengths(case: Case) -> Table:
    """Batch by length, both runs in one sweep each."""
    tokens = [
        one for one in TOKENS.values if case.reachable(one) == one and case.reachable(one + NEW - 1) == one + NEW - 1
    ]
    batches = list(SEQUENCES.values)
    train = swept(training(case), batch=batches, seq_len=tokens)
    infer = swept(inference(case), batch=batches, prompt_tokens=tokens)
    shares: list[list[float | None]] = [[1 - float(b) / float(a) for a, b in zip(*rows, strict=True)] for rows in
                                        zip(train, infer, strict=True)]  # fmt: skip
    return _table(f"By batch and tokens per sequence, {_with(case)}", "batch", [str(one) for one in batches],
                  [f"{one:,}" for one in tokens], shares)  # fmt: skip


def _models(case: Case) -> Table:
    cases = case.beside(MODELS)
    return _table(
        f"By model, {_with(case)}", "model", [one.name for one in cases], ["saving"], [[_saving(one)] for one in cases]
    )


def _with(case: Case) -> str:
    """What a map takes from the reader's case."""
    return f"{case['updates']} in {case['format']}, {METHOD.name(case['trained'])}"


def _table(caption: str, corner: str, down: list[str], across: list[str], shares: list[list[float | None]]) -> Table:
    rows = tuple(
        (name, *("–" if one is None else percent(one) for one in line)) for name, line in zip(down, shares, strict=True)
    )
    marks: Mapping[tuple[int, int], int] = {
        (i, j + 1): between(one, EDGES)
        for i, line in enumerate(shares)
        for j, one in enumerate(line)
        if one is not None
    }
    return Table(
        f"{caption}: how much less inference needs", (corner, *across), rows,
        {at: ("", "30–50", "50–70", "", "")[kind] for at, kind in marks.items() if kind in (1, 2)},
    )  # fmt: skip


def fixed(case: Case) -> str:
    return (
        f"{case.name}; inference reads the same texts, in the format that training computes in, and writes {NEW} "
        "tokens after each."
    )


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(
        case, seq=case["tokens"], batch=case["sequences"], precision=case["format"], optimizer=case["updates"],
        method=METHODS[case["trained"]], infer="fp32" if case["format"] == "fp32" else "bf16", new=NEW,
    )  # fmt: skip
    return (
        Link("Both runs, phase by phase, against a card", "", here),
        Link("Both over the batch", "batch", here),
        Link("Every setting of inference", "inference", here),
    )


LESSON = Lesson(
    title="Training against inference",
    idea="Using a model needs far less than training it. How much less depends on what the training keeps.",
    variables=(OPTIMIZER, TRAINED_IN, METHOD, SEQUENCES, TOKENS),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    terms=(
        "inference",
        "prefill and decode",
        "batch",
        "fp32 and bf16",
        "mixed precision",
        "gradient",
        "optimizer",
        "optimizer states",
        "activations",
        "KV cache",
        "LoRA",
        "temporary and overhead",
    ),
)
