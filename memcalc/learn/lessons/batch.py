"""Lesson 3: a fixed part and so much for each sequence; why half the batch is not half the memory."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.learn.case import Case, Json, ask, device, parts, swept
from memcalc.learn.lesson import Curve, Curves, Lesson, Link, Mark, Question, Rule, Shown, Table, Term, Variable
from memcalc.learn.lessons.variables import OPTIMIZER, PRECISIONS, TOKENS, dashboard
from memcalc.learn.words import PHASES, between, listed, percent
from memcalc.solve.line import through

TEXTS: Final = Variable(
    "texts", "Sequences at once (batch)", (1, 2, 5, 10, 20, 30, 40, 50, 60), 20,
    "How many texts go through the model together.",
)  # fmt: skip
LAST: Final = TEXTS.values[-1]
LENGTH: Final = 1024
NEW: Final = 128
HALF = "Half the batch, half the memory"
FIFTH = "Inference at 1/5 or 1/10 of the batch needs 5 to 10 % of the memory of training"
CLAIMED: Final = (0.05, 0.10)
PARTS: Final = (5, 10)
NEAR: Final = 0.025
"""How far from a half a share may be and still be called one."""
SEEN: Final = 0.002
"""A smaller share of the fixed part is not named."""
EDGES: Final = (0.525, 0.60, 0.80, 0.975)
CHOICES: Final = ("half as much", "52 to 60 %", "60 to 80 %", "80 to 97 %", "just as much")
MODELS: Final = ("gpt2", "Llama-3.2-1B", "Llama-3.1-8B", "Qwen2.5-32B", "Llama-3.1-70B")
RUNGS: Final = {1: 1, 2: 2, 5: 4, 10: 12, 20: 24, 30: 32, 40: 48, 50: 48, 60: 64}
"""The nearest batch that the dashboard's slider has."""


def training(case: Case, batch: int, tokens: int = LENGTH, optimizer: str = "adamw") -> Json:
    return case.train(tokens, batch, optimizer=optimizer)


def inference(case: Case, batch: int) -> Json:
    return case.infer(LENGTH, batch, new=NEW)


def part(batch: int, of: int) -> int:
    """``1 / of`` of a batch, in whole sequences."""
    return max(1, round(batch / of))


def divisible(batch: int) -> tuple[int, ...]:
    """The rule's parts that a batch has: a single text has no fifth."""
    return tuple(of for of in PARTS if batch >= of)


def half_share(case: Case, batch: int, tokens: int = LENGTH) -> float:
    """What half the batch needs of what the whole batch needs, in training."""
    return device(ask(training(case, part(batch, 2), tokens))) / device(ask(training(case, batch, tokens)))


def used_share(case: Case, batch: int, of: int, optimizer: str = "adamw") -> float:
    """What inference at ``1 / of`` of the batch needs of what training needs."""
    return device(ask(inference(case, part(batch, of)))) / device(ask(training(case, batch, optimizer=optimizer)))


def both(case: Case) -> tuple[list[int], list[int]]:
    """Training and inference over the batch, from 1 on."""
    batches = list(range(1, TEXTS.values[-1] + 1))
    return swept(training(case, 1), batch=batches), swept(inference(case, 1), batch=batches)


def question(case: Case) -> Question:
    batch = case["texts"]
    whole, half = (device(ask(training(case, one))) for one in (batch, part(batch, 2)))
    return Question(
        f"Training {case.name} on {batch} texts at once, {case.reachable(LENGTH):,} tokens each, needs "
        f"{units.binary(whole)}. How much is needed with half as many texts?",
        CHOICES,
        between(half / whole, EDGES),
        f"{percent(half / whole)}: {units.binary(half)} instead of {units.binary(whole)}. Only the part "
        "that grows with the texts is halved; weights, gradients and optimizer states are the same for one text and "
        "for a hundred.",
    )


def show(case: Case) -> Shown:
    batch = case["texts"]
    train, infer = both(case)
    xs = tuple(float(one) for one in range(1, len(train) + 1))
    now, half = train[batch - 1], train[part(batch, 2) - 1]
    curves = [
        Curve("Training", xs, tuple(map(float, train)), "gradients"),
        Curve("Inference", xs, tuple(map(float, infer)), "kv_cache"),
    ]
    marks = [Mark(f"batch {batch}: {units.binary(now)}", float(batch), float(now), "gradients")]
    if batch > 1:
        marks.append(Mark(f"half: {percent(half / now)}", float(part(batch, 2)), float(half), "gradients"))
    line = through(train)
    share = percent(half / now)
    other = ", not 50 %" if share != "50 %" else ""
    said = f"Half the batch needs {share} of the memory{other}." if batch > 1 else "One text is the least."
    since = "" if line.holds(batch, now) else f" from batch {line.straight_from} on"
    return Shown(
        Curves("sequences at once (batch)", "GiB on the card", tuple(curves), tuple(marks)),
        f"Memory over the batch, from 1 to {len(train)}. Training rises from {units.binary(train[0])} to "
        f"{units.binary(train[-1])}, inference from {units.binary(infer[0])} to {units.binary(infer[-1])}. At batch "
        f"{batch} training needs {units.binary(now)}, at half of it {units.binary(half)}.",
        f"{said} A fixed part of {units.binary(max(0, line.fixed))} stays, and each text adds "
        f"{units.binary(line.slope)}{since}.",
        (_term("training", train, batch), _term("inference", infer, batch)),
        _rules(case, batch),
        _notes(case, train),
    )


def _term(name: str, sizes: list[int], batch: int) -> Term:
    line, size = through(sizes), sizes[batch - 1]
    how = f"{units.binary(max(0, line.fixed))} + {batch} × {units.binary(line.slope)}"
    if not line.holds(batch, size):
        how = "does not grow with the batch here"
    return Term(name, how, units.binary(size), name == "training")


def _rules(case: Case, batch: int) -> tuple[Rule, ...]:
    share = half_share(case, batch)
    found = []
    if batch > 1:
        found.append(
            Rule(HALF, abs(share - 0.5) <= NEAR, f"From batch {batch} to {part(batch, 2)}: {percent(share)} remain.")
        )
    shares = {part(batch, of): used_share(case, batch, of) for of in divisible(batch)}
    if shares:
        said = " and ".join(f"{percent(share)} at batch {few}" for few, share in shares.items())
        holds = all(CLAIMED[0] <= share <= CLAIMED[1] for share in shares.values())
        found.append(Rule(FIFTH, holds, f"Against training at batch {batch}, inference needs {said}."))
    return tuple(found)


def _notes(case: Case, train: list[int]) -> tuple[str, ...]:
    line = through(train)
    flat = line.straight_from - 1
    learnt = of_line(training(case, LAST), training(case, LAST // 2))
    used = of_line(inference(case, LAST), inference(case, LAST // 2))
    said = [
        f"Each text adds in training {listed(learnt[1])}; in inference {listed(used[1])}.",
        f"The fixed part of training is {listed(learnt[0])}; of inference {listed(used[0])}.",
    ]
    if flat:
        first = ask(training(case, 1))
        phase = first.peak["phase"]
        why = "other tensors make the highest instant"
        if phase == "optimizer":
            why = f"the {PHASES[phase]} is highest, and what it needs does not grow with the batch"
        said.append(f"Up to batch {flat} the line does not hold: with few texts {why}.")
    found = ask(training(case, case["texts"]))
    if found.peak["phase"] == "backward" and found.at_peak["gradients"] < found.component_peak["gradients"] / 10:
        said.append(
            f"The fixed part is not the {units.binary(found.persistent)} of lesson 1: with so many texts the highest "
            "instant is the beginning of the backward pass. Gradients are not there yet, but 16-bit copies of the "
            "weights are."
        )
    return tuple(said)


def of_line(many: Json, half: Json) -> tuple[dict[str, int], dict[str, int]]:
    """The line through two batches by component, bytes: what is fixed, and what one text more adds."""
    most, less = (ask(one) for one in (many, half))
    few, more = int(less.scenario["batch"]), parts(most)
    texts = int(most.scenario["batch"]) - few
    each = {name: (more[name] - size) / texts for name, size in parts(less).items()}
    fixed = {name: round(size - few * each[name]) for name, size in parts(less).items()}
    fixed = {name: size for name, size in fixed.items() if size > SEEN * sum(fixed.values())}
    return fixed, {name: round(size) for name, size in each.items()}


def remember(case: Case) -> tuple[str, ...]:
    train, infer = both(case)
    rises, cheap = through(train), through(infer).slope
    return (
        f"Memory over the batch is a straight line: for {case.name} {units.binary(max(0, rises.fixed))}, and "
        f"{units.binary(rises.slope)} for each text.",
        "Half the batch halves the second part only. “Half the memory” comes near the truth where activations are "
        "nearly all: small models, long texts, large batches.",
        f"Inference has a line too, far flatter: {units.binary(cheap)} for each text, {percent(cheap / rises.slope)} "
        "of training's.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Where each rule is true: the half over batch and length, the fifth and tenth over optimizers and models."""
    tokens = [one for one in TOKENS.values if case.reachable(one) == one]
    batches = [one for one in TEXTS.values if one % 2 == 0]
    every = sorted({*batches, *(one // 2 for one in batches)})
    grid = dict(zip(every, swept(training(case, 1), batch=every, seq_len=tokens), strict=True))
    rows: list[tuple[str, ...]] = []
    marked: dict[tuple[int, int], str] = {}
    for i, batch in enumerate(batches):
        shares = [half / whole for half, whole in zip(grid[batch // 2], grid[batch], strict=True)]
        rows.append((str(batch), *map(percent, shares)))
        marked |= {(i, j): "true" for j, share in enumerate(shares, 1) if abs(share - 0.5) <= NEAR}
    batch = case["texts"]
    half = Table("What half the batch needs, by batch and tokens per sequence",
                 ("batch", *(f"{one:,}" for one in tokens)), tuple(rows), marked)  # fmt: skip
    into = divisible(batch)
    if not into:
        return (half,)
    return (
        half,
        _used(f"Inference against training at batch {batch}, by optimizer", "optimizer", into,
              [(name, [used_share(case, batch, of, optimizer=name) for of in into]) for name in OPTIMIZER.values]),
        _used(f"Inference against training at batch {batch}, by model", "model", into,
              [(one.name, [used_share(one, batch, of) for of in into]) for one in case.beside(MODELS)]),
    )  # fmt: skip


def _used(caption: str, corner: str, into: tuple[int, ...], lines: list[tuple[str, list[float]]]) -> Table:
    return Table(
        caption, (corner, *(f"1/{of} of the batch" for of in into)),
        tuple((name, *map(percent, shares)) for name, shares in lines),
        {(i, j): "true" for i, (_, shares) in enumerate(lines) for j, share in enumerate(shares, 1)
         if CLAIMED[0] <= share <= CLAIMED[1]},
    )  # fmt: skip


def fixed(case: Case) -> str:
    return (
        f"{case.name}, {case.reachable(LENGTH):,} tokens a text, AdamW, {PRECISIONS['bf16-mixed']}; inference in bf16 "
        f"writes {NEW} tokens after each text."
    )


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(case, batch=RUNGS[case["texts"]])
    return (Link("These lines with a card's limit", "batch", here), Link("Batch by length, as a map", "sweep", here))


LESSON = Lesson(
    title="The batch",
    idea="Memory over the batch is a straight line that does not begin at zero.",
    variables=(TEXTS,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    terms=(
        "token",
        "sequence",
        "batch",
        "forward pass",
        "backward pass",
        "activations",
        "KV cache",
        "temporary and overhead",
        "GiB and GB",
    ),
)
