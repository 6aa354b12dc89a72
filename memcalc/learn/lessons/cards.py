"""Lesson 10: replicas and shards; what the three stages of ZeRO divide."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.estimate import Estimate
from memcalc.learn.case import Case, Json, ask, device, parts
from memcalc.learn.lesson import Bars, Lesson, Link, Question, Rule, Shown, Stack, Table, Term, Variable
from memcalc.learn.lessons.variables import dashboard
from memcalc.learn.words import each, listed, nearest, percent

CARDS: Final = Variable(
    "gpus", "Cards", (1, 2, 4, 8, 16, 32, 64), 8, "Every card works on texts of its own; all share what they learn.",
)  # fmt: skip
WAYS: Final = {"ddp": "replicas (DDP)", "zero1": "ZeRO 1", "zero2": "ZeRO 2", "zero3": "ZeRO 3"}
WEIGHT, GRADIENT, STATES = 2, 2, 12
"""Bytes for each parameter with Adam, 16-bit weights and a 32-bit copy: Rajbhandari et al., "ZeRO" (arXiv 1910.02054),
section 3.1 (K = 12)."""
BUCKETS: Final = 2
"""Bytes for each parameter that torch's DDP keeps besides: its buckets of gradients (torch/csrc/distributed/c10d/
reducer.cpp, without gradient_as_bucket_view)."""
STAGES: Final = {
    "zero1": "Stage 1 divides the optimizer states: 2 + 2 + 12 ÷ N bytes for each parameter",
    "zero2": "Stage 2 divides the gradients too: 2 + (2 + 12) ÷ N",
    "zero3": "Stage 3 divides everything: (2 + 2 + 12) ÷ N",
}
NEAR: Final = 0.02
LENGTH: Final = 1024
CHOICES: Final = (2.0, 3.75, 5.5, 16.0)
MORE = "activations, gathered weights and buffers are not divided."
LESS = "DeepSpeed’s optimizer does without the working copies that torch’s makes on one card."
CLAIM = "N cards need 1 / N of the memory each"


def scenario(case: Case, way: str, cards: int) -> Json:
    found = case.train(LENGTH, precision="bf16-master")
    return {**found, "parallel": {"data": cards, "strategy": way}} if cards > 1 else found


def by_formula(way: str, cards: int) -> float:
    """Lasting bytes for each parameter on each card, by the paper's figure 1; replicas with DDP's buckets."""
    if way == "ddp":
        return WEIGHT + GRADIENT + STATES + (BUCKETS if cards > 1 else 0)
    weight = WEIGHT / cards if way == "zero3" else WEIGHT
    gradient = GRADIENT / cards if way in ("zero2", "zero3") else GRADIENT
    return weight + gradient + STATES / cards


def lasting(found: Estimate) -> float:
    """Lasting bytes for each parameter on each card, by the estimate."""
    return found.persistent / found.parameters["trainable"]


def question(case: Case) -> Question:
    cards = case["gpus"]
    one, shared = (ask(scenario(case, way, cards if way != "ddp" else 1)) for way in ("ddp", "zero1"))
    return Question(
        f"{case.begins} is trained on {cards} cards, with 16 bytes for each parameter: 2 for the weight, 2 for the "
        "gradient, 12 for Adam’s states and 32-bit copy. ZeRO stage 1 divides the optimizer’s part among the cards. "
        "How many bytes does each card keep?",
        tuple(f"{each(size)} bytes" for size in CHOICES),
        nearest(lasting(shared), CHOICES),
        f"2 + 2 + 12 ÷ {cards} = {each(by_formula('zero1', cards))} bytes: {units.binary(shared.persistent)} instead "
        f"of {units.binary(one.persistent)}.",
    )


def show(case: Case) -> Shown:
    cards = case["gpus"]
    found = {way: ask(scenario(case, way, cards)) for way in WAYS}
    stacks = tuple(Stack(name, parts(found[way]), way == "zero3") for way, name in WAYS.items())
    single = device(ask(scenario(case, "ddp", 1)))
    return Shown(
        Bars(stacks, device(ask(scenario(case, "ddp", 2)))),
        f"What each of {cards} cards holds at its highest instant, stacked by component. "
        + " ".join(f"{one.label}, {units.binary(one.total)}: {listed(one.parts)}." for one in stacks),
        f"On each of {cards} cards: {units.binary(device(found['ddp']))} as replicas, "
        + ", ".join(f"{units.binary(device(found[way]))} with {WAYS[way]}" for way in STAGES) + ".",
        (
            *(
                Term(name, f"{_words(way, cards)} = {each(by_formula(way, cards))} B × "
                     f"{units.count(found[way].parameters['trainable'])}", units.binary(found[way].persistent))
                for way, name in WAYS.items()
            ),
            Term("highest, ZeRO 3", "activations and what is gathered too", units.binary(device(found["zero3"])), True),
        ),
        _rules(found, cards, single),
        _notes(cards),
    )  # fmt: skip


def _words(way: str, cards: int) -> str:
    over = f" ÷ {cards}"
    replicas = "2 + 2 + 12 + 2" if cards > 1 else "2 + 2 + 12"
    return {
        "ddp": replicas,
        "zero1": f"2 + 2 + 12{over}",
        "zero2": f"2 + (2 + 12){over}",
        "zero3": f"(2 + 2 + 12){over}",
    }[way]


def _rules(found: dict[str, Estimate], cards: int, single: int) -> tuple[Rule, ...]:
    rules = []
    for way, text in STAGES.items():
        claimed, seen = by_formula(way, cards), lasting(found[way])
        rules.append(Rule(text, abs(seen / claimed - 1) <= NEAR,
                          f"{each(seen)} bytes by the estimate, {each(claimed)} by the formula."))  # fmt: skip
    if cards > 1:
        share = device(found["zero3"]) / single
        why = LESS if share < 1 / cards else MORE
        said = (
            f"With stage 3 a card needs {percent(share)} of what one card alone needs, not {percent(1 / cards)}: {why}"
        )
        rules.append(Rule(CLAIM, abs(share * cards - 1) < 0.1, said))
    return tuple(rules)


def _notes(cards: int) -> tuple[str, ...]:
    if cards == 1:
        return ("With one card there is nothing to divide: all four are the same.",)
    return (f"Replicas keep {BUCKETS} bytes more than one card alone: DDP gathers gradients in buckets of its own.",)


def remember(case: Case) -> tuple[str, ...]:
    here = ask(scenario(case, "zero3", 64))
    return (
        "Replicas save nothing: every card holds everything, and all go faster together.",
        "ZeRO divides what belongs to the parameters: stage 1 the optimizer states, stage 2 the gradients too, stage 3 "
        "the weights as well.",
        "What belongs to the texts, the activations, is not divided: each card has texts of its own. "
        f"On 64 cards {case.name} still needs {units.binary(device(here))} on each.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Lasting and highest memory over the number of cards."""
    rows = []
    for cards in CARDS.values:
        found = [ask(scenario(case, way, cards)) for way in WAYS]
        rows.append((str(cards), *(f"{units.binary(one.persistent)} / {units.binary(device(one))}" for one in found)))
    return (
        Table("On each card: what lasts / the highest instant", ("cards", *WAYS.values()), tuple(rows)),
    )  # fmt: skip


def fixed(case: Case) -> str:
    return (
        f"{case.name}, one text of {case.reachable(LENGTH):,} tokens on each card, AdamW, 16-bit weights with a 32-bit "
        "copy, DeepSpeed’s own buckets. Counted by the paper’s figures and DeepSpeed’s source, not measured."
    )


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(case, precision="bf16-master")
    return (Link("Several cards, with every setting", "training", here), Link("Which cards run it", "cards", here))


LESSON = Lesson(
    title="Many GPUs",
    idea="Replicas copy everything. Shards divide what belongs to the parameters, and nothing else.",
    variables=(CARDS,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    map_title="Over the number of cards",
    terms=("replica and shard", "ZeRO", "gradient", "optimizer states", "master weights", "activations"),
)
