"""Lesson 7: LoRA, QLoRA and 8-bit optimizers; what shrinks and what does not."""

from __future__ import annotations

from typing import Any, Final

from memcalc import units
from memcalc.learn.case import Case, ask, device, parts
from memcalc.learn.lesson import Bars, Lesson, Link, Question, Rule, Shown, Stack, Table, Term, Variable
from memcalc.learn.lessons.variables import dashboard
from memcalc.learn.lessons.where import activations
from memcalc.learn.words import LABELS, between, listed, percent, times

WAYS: Final[dict[str, dict[str, Any]]] = {
    "full": {"precision": "bf16-mixed", "optimizer": "adamw"},
    "full-8bit": {"precision": "bf16-mixed", "optimizer": "adamw-8bit"},
    "lora": {"precision": "bf16", "method": "lora"},
    "qlora": {"precision": "bf16", "method": "qlora"},
    "qlora-checkpointing": {"precision": "bf16", "method": "qlora", "checkpointing": "full"},
}
"""Each way's settings; the frozen weights of LoRA are in bf16, its adapters in 32 bits, as PEFT has them."""
WAY: Final = Variable(
    "way", "How it is fine-tuned", tuple(WAYS), "lora",
    "LoRA: the weights are frozen, small adapters beside them learn. QLoRA: the frozen weights are kept in 4 bits. "
    "Checkpointing: activations are computed again instead of kept.",
    {"full": "all weights", "full-8bit": "all weights, 8-bit AdamW", "lora": "LoRA", "qlora": "QLoRA",
     "qlora-checkpointing": "QLoRA and checkpointing"}, "choice",
)  # fmt: skip
LENGTH: Final = 1024
EDGES: Final = (0.02, 0.10, 0.30, 0.60)
CHOICES: Final = ("up to 2 %", "2 to 10 %", "10 to 30 %", "30 to 60 %", "more than 60 %")
SHRINK: Final = "Training 1 % of the parameters needs 1 % of the memory"
COUNTED: Final = ("weights", "gradients", "optimizer", "activations")


def scenario(case: Case, way: str) -> dict[str, Any]:
    return case.train(LENGTH, **WAYS[way])


def question(case: Case) -> Question:
    full, lora = ask(scenario(case, "full")), ask(scenario(case, "lora"))
    trained = lora.parameters["trainable"] / lora.parameters["total"]
    ratio = device(lora) / device(full)
    return Question(
        f"Fine-tuning all of {case.name} needs {units.binary(device(full))}. LoRA trains {percent(trained)} of that "
        "many parameters, beside frozen weights in 16 bits. How much of the memory does it need?",
        CHOICES,
        between(ratio, EDGES),
        f"{percent(ratio)}: {units.binary(device(lora))}. The frozen weights must still be there, and so must the "
        "activations through which gradients flow back to the adapters.",
    )


def show(case: Case) -> Shown:
    way = case["way"]
    found = {name: ask(scenario(case, name)) for name in dict.fromkeys(("full", way))}
    stacks = tuple(Stack(WAY.name(name).capitalize() if name == "full" else WAY.name(name), parts(one), name == way)
                   for name, one in found.items())  # fmt: skip
    full, now = found["full"], found[way]
    trained = now.parameters["trainable"]
    return Shown(
        Bars(stacks),
        "Fine-tuning all weights, and as chosen, at the highest instant, stacked by component. "
        + " ".join(f"{one.label}, {units.binary(one.total)}: {listed(one.parts)}." for one in stacks),
        f"{WAY.name(way)}: {units.binary(device(now))}"
        + ("." if way == "full" else f", {percent(device(now) / device(full))} of {units.binary(device(full))}.")
        + f" {units.count(trained)} parameters are trained.",
        (
            *(
                Term(LABELS[name], f"all weights {units.binary(full.component_peak[name])}",
                     units.binary(now.component_peak[name]))
                for name in COUNTED
            ),
            Term(f"highest, in the {now.peak['phase']}", "of all that lives at once", units.binary(device(now)), True),
        ),
        _rules(case),
        (
            "Components are at their own largest here, at whatever instant: they do not all live at once.",
            *([beside_four_bits(case)] if WAYS[way].get("method") == "qlora" else []),
        ),
    )  # fmt: skip


def kept(case: Case, method: str, precision: str, checkpointing: str = "none") -> int:
    """Activations of adapters trained beside frozen weights, where they are largest."""
    found = ask(case.train(LENGTH, precision=precision, method=method, checkpointing=checkpointing))
    return int(found.component_peak["activations"])


def beside_four_bits(case: Case) -> str:
    """What 4-bit weights do to activations: prepare_model_for_kbit_training makes fp32 of all that is not quantised
    [peft 0.21, utils/other.py], so the hidden states between the blocks are in fp32 as well, unless autocast is on."""
    lora, plain, mixed = (kept(case, *one) for one in (("lora", "bf16"), ("qlora", "bf16"), ("qlora", "bf16-mixed")))
    return (
        "Beside 4-bit weights PEFT turns norms and embeddings into 32 bits, and what follows from them is computed in "
        f"32 bits: activations take {units.binary(plain)}, {times(plain / lora)} LoRA’s {units.binary(lora)}. Under "
        f"autocast (bf16-mixed) they take {units.binary(mixed)}; with checkpointing "
        f"{units.binary(kept(case, 'qlora', 'bf16', 'full'))}."
    )


def _rules(case: Case) -> tuple[Rule, ...]:
    full, lora = ask(scenario(case, "full")), ask(scenario(case, "lora"))
    trained, ratio = lora.parameters["trainable"] / full.parameters["trainable"], device(lora) / device(full)
    before, after = (one.component_peak["activations"] for one in (full, lora))
    copies = activations(case, full)[1]
    return (
        Rule(SHRINK, ratio <= 2 * trained,
             f"LoRA trains {percent(trained)} of the parameters and needs {percent(ratio)} of the memory; "
             f"{percent(after / before)} of the activations remain: of {units.binary(before - after)} that are gone, "
             f"{units.binary(copies)} were 16-bit copies of the weights, which weights in 16 bits do not need."),
    )  # fmt: skip


def remember(case: Case) -> tuple[str, ...]:
    full, lora, qlora = (ask(scenario(case, name)) for name in ("full", "lora", "qlora"))
    saved = ask(scenario(case, "full-8bit"))
    weights = [one.component_peak["weights"] for one in (full, lora, qlora)]
    states = [one.component_peak["optimizer"] for one in (full, lora, saved)]
    return (
        "What goes with the trained parameters shrinks with their number: gradients and optimizer states "
        f"({units.binary(states[0])} become {units.binary(states[1])} with LoRA).",
        f"The weights stay: {units.binary(weights[1])} in 16 bits, {units.binary(weights[2])} in 4 bits. Fewer bits, "
        "not fewer trained parameters, make them smaller.",
        "Activations stay too: gradients flow back through every block to reach the adapters. Checkpointing is what "
        "shrinks them.",
        f"An 8-bit optimizer keeps its states in {units.binary(states[2])} and leaves the rest as it is.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Every way beside the others, by component and at the highest instant."""
    rows = []
    for way in WAYS:
        found = ask(scenario(case, way))
        rows.append((WAY.name(way), *(units.binary(found.component_peak[name]) for name in COUNTED),
                     units.binary(device(found))))  # fmt: skip
    return (
        Table("Each component at its own largest, and the highest instant of all", ("how", *(LABELS[name] for name in
              COUNTED), "highest"), tuple(rows)),
    )  # fmt: skip


def fixed(case: Case) -> str:
    return (
        f"{case.name}, one text of {case.reachable(LENGTH):,} tokens. All weights are trained in mixed precision; "
        "adapters (rank 16) beside frozen weights computed in bf16."
    )


def links(case: Case) -> tuple[Link, ...]:
    way = WAYS[case["way"]]
    method = {"full": "Full", "lora": "LoRA", "qlora": "QLoRA"}[way.get("method", "full")]
    here = dashboard(
        case, precision=way["precision"], optimizer=way.get("optimizer", "adamw"), method=method,
        checkpointing="true" if "checkpointing" in way else "false",
    )  # fmt: skip
    return (
        Link("Rank, targets and every other setting", "training", here),
        Link("What would make it fit a card", "advise", here),
    )


LESSON = Lesson(
    title="Fine-tuning on a small card",
    idea="Training fewer parameters shrinks what belongs to them. The rest has to be shrunk by other means.",
    variables=(WAY,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    map_title="All ways side by side",
    terms=("LoRA", "QLoRA", "quantisation", "optimizer states", "activations", "gradient checkpointing"),
)
