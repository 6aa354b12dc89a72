"""Lesson 6: 32, 16, 8 and 4 bits, and why mixed precision does not halve memory."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.estimate import Estimate
from memcalc.learn.case import Case, ask, device, parts
from memcalc.learn.lesson import Bars, Lesson, Link, Question, Rule, Shown, Stack, Table, Term, Variable
from memcalc.learn.lessons.variables import dashboard
from memcalc.learn.words import between, each, listed, percent

FORMAT: Final = Variable(
    "bits", "Numbers in", ("fp32", "bf16-mixed", "bf16-master", "bf16", "int8", "nf4"), "bf16-mixed",
    "How the weights are stored and computed with. 8 and 4 bits are for using a model; training on top of them is "
    "lesson 7.",
    {"fp32": "32 bits", "bf16-mixed": "mixed", "bf16-master": "16 bits, 32-bit copy", "bf16": "16 bits",
     "int8": "8 bits", "nf4": "4 bits"}, "choice",
)  # fmt: skip
STORED: Final = ("int8", "nf4")
LENGTH: Final = 1024
NEW: Final = 128
NEAR: Final = 0.05
RULES: Final = {
    "Mixed precision halves the memory of training": ("train", "fp32", "bf16-mixed"),
    "16 bits throughout halve the memory of training": ("train", "fp32", "bf16"),
    "16 bits halve the memory of inference": ("infer", "fp32", "bf16"),
    "8 bits halve it again": ("infer", "bf16", "int8"),
    "4 bits halve it once more": ("infer", "int8", "nf4"),
}
"""Each says that the second format needs half of what the first needs."""
MODELS: Final = ("gpt2", "Llama-3.2-1B", "Llama-3.1-8B", "Qwen2.5-32B", "Llama-3.1-70B")
EDGES: Final = (0.60, 0.85, 1.0)
CHOICES: Final = ("about half", "about three quarters", "nearly as much", "as much or more")


def train(case: Case, name: str) -> Estimate | None:
    """Training in a format; None where nothing is trained in it."""
    return None if name in STORED else ask(case.train(LENGTH, precision=name))


def infer(case: Case, name: str) -> Estimate:
    """Inference with weights in a format; computed in bf16 unless all is in 32 bits."""
    if name in STORED:
        return ask(case.infer(LENGTH, new=NEW, weights=name))
    return ask(case.infer(LENGTH, precision="fp32" if name == "fp32" else "bf16", new=NEW))


def share(case: Case, task: str, first: str, second: str) -> float:
    """What ``second`` needs of what ``first`` needs."""
    sizes = [device(found) for name in (first, second) if (found := _run(case, task, name))]
    return sizes[1] / sizes[0]


def _run(case: Case, task: str, name: str) -> Estimate | None:
    return train(case, name) if task == "train" else infer(case, name)


def question(case: Case) -> Question:
    first, second = ask(case.train(LENGTH, precision="fp32")), ask(case.train(LENGTH, precision="bf16-mixed"))
    ratio = device(second) / device(first)
    trained = second.parameters["trainable"]
    lasting = [each(one.persistent / trained) for one in (first, second)]
    return Question(
        f"Training {case.name} in 32 bits needs {units.binary(device(first))}. In mixed precision it computes in 16 "
        "bits. How much of that memory does it need then?",
        CHOICES,
        between(ratio, EDGES),
        f"{percent(ratio)}: {units.binary(device(second))}. Weights, gradients and optimizer states stay in 32 bits "
        f"({lasting[1]} bytes a parameter, as before: {lasting[0]}); only activations shrink, and 16-bit copies of the "
        "weights come on top.",
    )


def show(case: Case) -> Shown:
    name = case["bits"]
    chosen, label = train(case, name), FORMAT.name(name)
    stacks = [Stack("Training, 32 bits", parts(ask(case.train(LENGTH, precision="fp32"))))]
    if chosen is not None and name != "fp32":
        stacks.append(Stack(f"Training, {label}", parts(chosen), True))
    stacks.append(Stack("Inference, 32 bits", parts(infer(case, "fp32"))))
    if name != "fp32":
        stacks.append(Stack(f"Inference, {label}", parts(infer(case, name)), True))
    return Shown(
        Bars(tuple(stacks)),
        "Training and inference at their highest instants, in 32 bits and as chosen, stacked by component. "
        + " ".join(f"{one.label}, {units.binary(one.total)}: {listed(one.parts)}." for one in stacks),
        _headline(case, name, label),
        _formula(case, name),
        tuple(_rule(case, text, *claim) for text, claim in RULES.items()),
        _notes(case, name),
    )


def _headline(case: Case, name: str, label: str) -> str:
    if name == "fp32":
        return "All in 32 bits: what the other formats are measured against."
    used = f"inference {percent(share(case, 'infer', 'fp32', name))} of its memory in 32 bits"
    if name in STORED:
        return f"With weights in {label}, {used[:9]} needs {used[10:]}."
    return f"{label.capitalize()}: training needs {percent(share(case, 'train', 'fp32', name))}, {used}."


def _formula(case: Case, name: str) -> tuple[Term, ...]:
    """Bytes for each parameter, from the components' own sizes."""
    terms = []
    found = train(case, name)
    if found is not None:
        count = found.parameters["trainable"]
        sizes = [found.component_peak[part] / count for part in ("weights", "gradients", "optimizer")]
        terms.append(
            Term("training, lasting", f"({' + '.join(map(each, sizes))}) B × {units.count(count)}",
                 units.binary(found.persistent))
        )  # fmt: skip
        terms.append(Term("training, activations", "at their highest", units.binary(
            found.component_peak["activations"])))  # fmt: skip
        terms.append(Term("training, highest instant", "", units.binary(device(found)), True))
    used = infer(case, name)
    total = used.parameters["total"]
    weights = used.component_peak["weights"]
    terms.append(Term("inference, weights", f"{each(weights / total)} B × {units.count(total)}", units.binary(weights)))
    terms.append(Term("inference, highest instant", "", units.binary(device(used)), True))
    return tuple(terms)


def _rule(case: Case, text: str, task: str, first: str, second: str) -> Rule:
    ratio = share(case, task, first, second)
    return Rule(text, abs(ratio - 0.5) <= NEAR, f"{percent(ratio)} remain.")


def _notes(case: Case, name: str) -> tuple[str, ...]:
    if name not in STORED:
        return ()
    used = infer(case, name)
    return (
        f"{each(used.component_peak['weights'] / used.parameters['total'])} bytes for each parameter, not "
        f"{'1' if name == 'int8' else '0.5'}: embeddings and norms stay in 16 bits, and every block of weights keeps a "
        "scale.",
    )


def remember(case: Case) -> tuple[str, ...]:
    return (
        "Mixed precision is about speed. What lasts stays in 32 bits; training in it needs "
        f"{percent(share(case, 'train', 'fp32', 'bf16-mixed'))} of the memory of 32 bits here.",
        f"What halves is 16 bits throughout ({percent(share(case, 'train', 'fp32', 'bf16'))}); its price is updates "
        "that lose digits.",
        f"For inference the weights decide: 16 bits need {percent(share(case, 'infer', 'fp32', 'bf16'))} of 32 bits, "
        f"4 bits {percent(share(case, 'infer', 'fp32', 'nf4'))}. The cache and what is computed stay as they are.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Which rule is true for which model."""
    cases = case.beside(MODELS)
    rows: list[tuple[str, ...]] = []
    marked: dict[tuple[int, int], str] = {}
    for i, (text, claim) in enumerate(RULES.items()):
        cells = [text]
        for one in cases:
            try:
                ratio = share(one, *claim)
            except MemcalcError:
                cells.append("–")  # no program for this model in this format
                continue
            if abs(ratio - 0.5) <= NEAR:
                marked[i, len(cells)] = "true"
            cells.append(percent(ratio))
        rows.append(tuple(cells))
    names = [one.name for one in cases]
    return (Table("What remains, by model; marked where it is half", ("rule", *names), tuple(rows), marked),)


def fixed(case: Case) -> str:
    return f"{case.name}, one text of {case.reachable(LENGTH):,} tokens, AdamW; inference writes {NEW} tokens."


def links(case: Case) -> tuple[Link, ...]:
    name = case["bits"]
    trained = "bf16-mixed" if name in STORED else name
    here = dashboard(case, precision=trained, infer="fp32" if name == "fp32" else "bf16")
    return (
        Link("Every setting of a training step", "training", here),
        Link("Inference with weights in 8, 4 and fewer bits", "inference", here),
    )


LESSON = Lesson(
    title="Precision",
    idea="Fewer bits shrink what is stored in them, and nothing else.",
    variables=(FORMAT,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    terms=(
        "parameter",
        "fp32 and bf16",
        "mixed precision",
        "master weights",
        "quantisation",
        "optimizer states",
        "KV cache",
    ),
)
