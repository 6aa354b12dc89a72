"""Lesson 1: what is counted by the parameter, and what is not."""

from __future__ import annotations

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.estimate import Estimate
from memcalc.learn.case import OVERHEAD, Case, ask, device, parts
from memcalc.learn.lesson import Bars, Lesson, Link, Question, Rule, Shown, Stack, Table, Term
from memcalc.learn.lessons.variables import OPTIMIZER, PRECISIONS, TOKENS, TRAINED_IN, dashboard
from memcalc.learn.words import LABELS, PHASES, each, listed, nearest, percent

RULE = "16 bytes per parameter"
CLAIMED = 16
"""Bytes per parameter that the rule claims. Rajbhandari et al., "ZeRO" (arXiv 1910.02054), section 3.1: 2 for the
weight, 2 for the gradient, 12 for the optimizer (fp32 copy, momentum, variance)."""
CHOICES = (2, 4, 8, 16)
PER_PARAMETER = ("weights", "gradients", "optimizer")
SHOWN = ("forward", "backward", "optimizer")


def per_parameter(found: Estimate) -> float:
    """Bytes of weight, gradient and optimizer states for each trained parameter."""
    return found.persistent / found.parameters["trainable"]


def activations(case: Case, found: Estimate) -> tuple[float, float]:
    """(bytes for each token, bytes that are there whatever the text): the latter are the 16-bit copies of the weights
    that mixed precision keeps until the backward pass."""
    tokens = _tokens(found)
    most, less = (one.component_peak["activations"] for one in (found, ask(case.train(max(1, tokens // 2)))))
    token = (most - less) / (tokens - max(1, tokens // 2))
    return token, max(0.0, most - token * tokens)


def question(case: Case) -> Question:
    found = ask(case.train(case["tokens"]))
    whole, trained = per_parameter(found), found.parameters["trainable"]
    share = [each(found.component_peak[name] / trained) for name in PER_PARAMETER]
    return Question(
        f"{case.begins}{_size_of(case, trained)} is trained with the optimizer AdamW in {PRECISIONS['bf16-mixed']}. "
        "How many bytes does each parameter need in all: for its weight, its gradient and what the optimizer remembers "
        "about it?",
        tuple(f"{size} bytes" for size in CHOICES),
        nearest(whole, CHOICES),
        f"{each(whole)} bytes: {share[0]} for the weight, {share[1]} for its gradient, {share[2]} for the optimizer's "
        "two running averages, of the gradients and of their squares. "
        f"{units.count(trained)} parameters × {each(whole)} bytes = {units.binary(found.persistent)}.",
    )


def _size_of(case: Case, parameters: int) -> str:
    """The size, for a reader who does not know the model; a model that is only a size has it in its name."""
    return "" if case.sized else f", a model of {units.count(parameters)} parameters,"


def show(case: Case) -> Shown:
    tokens = case.reachable(case["tokens"])
    found = ask(case.train(tokens))
    stacks = tuple(Stack(PHASES[name], parts(found, name), name == found.peak["phase"]) for name in SHOWN)
    lasting, most = found.persistent, found.component_peak["activations"]
    peak = PHASES[found.peak["phase"]]
    return Shown(
        Bars(stacks),
        "Memory of a training step by phase, stacked by component. "
        + " ".join(f"{one.label}: {listed(one.parts)}." for one in stacks),
        f"Weights, gradients and optimizer states are {units.binary(lasting)}, whatever the texts. Activations are up "
        f"to {units.binary(most)} with {tokens:,} tokens. Highest is the {peak}, with {units.binary(device(found))}.",
        _formula(case, found),
        (_rule(found),),
        _notes(case, found),
    )


def _formula(case: Case, found: Estimate) -> tuple[Term, ...]:
    """The highest instant, line by line; the lines' sum is what the card holds."""
    trained = found.parameters["trainable"]
    terms = []
    for name, size in parts(found).items():
        if not size:
            continue
        how = ""
        if name in PER_PARAMETER:
            how = f"{units.count(trained)} parameters × {each(size / trained)} B"
        elif name == "activations":
            token, copies = activations(case, found)
            how = f"{_tokens(found):,} tokens × {units.binary(token)}"
            if copies > 0.02 * size:
                how += f" + {units.binary(copies)} whatever the text: 16-bit copies of the weights"
        elif name == "temporary":
            how = "lives for a moment: copies that a computation needs"
        elif name == OVERHEAD:
            above = found.overhead
            how = (
                f"allocator's reserve {units.binary(above['cache'])}, CUDA context {units.binary(above['context'])}, "
                f"library workspaces {units.binary(above['workspace'])}"
            )
        terms.append(Term(LABELS[name], how, units.binary(size)))
    return (*terms, Term(f"in the {PHASES[found.peak['phase']]}", "", units.binary(device(found)), True))


def _tokens(found: Estimate) -> int:
    return int(found.scenario["batch"]) * int(found.scenario["seq_len"])


def _rule(found: Estimate) -> Rule:
    size, whole = per_parameter(found), device(found)
    there = {name: found.at_peak[name] for name in PER_PARAMETER}
    besides = whole - sum(there.values())
    absent = ", and no gradients yet" if there["gradients"] < found.component_peak["gradients"] / 10 else ""
    return Rule(
        RULE,
        abs(size - CLAIMED) < 0.5,
        f"Weight, gradient and optimizer states are {each(size)} bytes a parameter. At the highest instant the card "
        f"also holds {units.binary(besides)} that the rule leaves out ({percent(besides / whole)} of "
        f"{units.binary(whole)}){absent}.",
    )


def _notes(case: Case, found: Estimate) -> tuple[str, ...]:
    at = found.at_peak
    token, copies = activations(case, found)
    of = (
        f", and {units.binary(copies)} of 16-bit copies of the weights, which are kept for the backward pass too, "
        f"whatever the text{_uncopied(case, found, copies)}"
        if copies
        else ""
    )
    said = [
        "Each bar is the highest instant of its part of a step. Weights and optimizer states are there all the time, "
        "gradients from the backward pass until the optimizer has used them.",
        f"Activations: {_tokens(found):,} tokens × {units.binary(token)}{of}.",
    ]
    if parts(found, "backward")["activations"] < found.component_peak["activations"] / 2:
        said.append(
            "The backward pass is highest at its end here: all gradients are there, and the activations are used up."
        )
    if at["activations"] < found.component_peak["activations"] / 2:
        said.append(
            "In the optimizer step the activations are gone already, and the optimizer's working copies "
            f"({units.binary(at['temporary'])}) are there instead: lesson 9 looks at that."
        )
    return tuple(said)


def _uncopied(case: Case, found: Estimate, copies: float) -> str:
    """Why the copies are less than 2 bytes for each parameter, where it is the embedding that has none: autocast
    copies what a matrix product takes (torch.amp's list of operations), and a table is only read."""
    table = 2 * case.spec.vocab * case.spec.hidden
    missing = 2 * found.parameters["trainable"] - copies
    if abs(missing - table) > 0.01 * copies:
        return ""
    return f" (the embedding, {units.binary(table)} in 16 bits, is a table that is only read: it needs no copy)"


def remember(case: Case) -> tuple[str, ...]:
    found = ask(case.train(case["tokens"]))
    token, _ = activations(case, found)
    return (
        "Training holds weights, gradients, optimizer states and activations; temporary tensors and overhead come on "
        "top.",
        f"The first three are counted in bytes per parameter: {each(per_parameter(found))} with AdamW in mixed "
        f"precision, so {units.binary(found.persistent)} for {case.name}.",
        f"Activations are counted per token ({units.binary(token)} each here): they grow with the text and the batch.",
        "Nothing of this is a sum over the whole run. What counts is the highest instant.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """Bytes per parameter for every precision and optimizer."""
    rows: list[tuple[str, ...]] = []
    marked: dict[tuple[int, int], str] = {}
    for precision in TRAINED_IN.values:
        cells = [precision]
        for optimizer in OPTIMIZER.values:
            size = _size(case, precision, optimizer)
            if size is not None and abs(size - CLAIMED) < 0.5:
                marked[len(rows), len(cells)] = "16"
            cells.append("–" if size is None else each(size))
        rows.append(tuple(cells))
    return (
        Table(
            f"Bytes of weight, gradient and optimizer states per parameter of {case.name}; marked where “{RULE}” is "
            "true",
            ("training in", *OPTIMIZER.values), tuple(rows), marked,
        ),
    )  # fmt: skip


def _size(case: Case, precision: str, optimizer: str) -> float | None:
    try:
        return per_parameter(ask(case.train(128, precision=precision, optimizer=optimizer)))
    except MemcalcError:
        return None  # a pair that does not go together


def fixed(case: Case) -> str:
    return f"{case.name}, one sequence at a time, AdamW, {PRECISIONS['bf16-mixed']}."


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(case, seq=case["tokens"])
    return (
        Link("These bars beside inference, and against a card", "", here),
        Link("Every setting of a training step", "training", here),
    )


LESSON = Lesson(
    title="Where does it go?",
    idea="Most of what training needs is counted by the parameter, the rest by the token.",
    variables=(TOKENS,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    terms=(
        "GPU",
        "parameter",
        "fp32 and bf16",
        "token",
        "sequence",
        "training step",
        "forward pass",
        "backward pass",
        "gradient",
        "optimizer",
        "optimizer states",
        "activations",
        "mixed precision",
        "temporary and overhead",
        "GiB and GB",
    ),
)
