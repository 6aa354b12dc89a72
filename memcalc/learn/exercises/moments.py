"""Exercises about the moment that decides: which phase, which component, which tensor."""

from __future__ import annotations

from typing import Final

import memcalc
from memcalc import units
from memcalc.learn.case import Case, ask
from memcalc.learn.exercises.exercise import Asked, Draw, Exercise, Slip, Step, Task, amount
from memcalc.learn.exercises.parameters import GIB
from memcalc.learn.exercises.texts import FP32, LARGE_VOCABULARY
from memcalc.learn.lesson import Link
from memcalc.learn.lessons.variables import PRECISIONS, dashboard
from memcalc.learn.words import LABELS, PHASES

MOMENTS: Final = (
    ("Llama-3.1-8B", "bf16-mixed", 512), ("Llama-3.2-1B", "bf16-mixed", 8192), ("gpt2", "bf16-mixed", 1024),
    ("Qwen2.5-7B", "bf16", 256), ("Qwen2.5-0.5B", "bf16", 8192), ("Llama-3.2-3B", "bf16-mixed", 512),
)  # fmt: skip
AT: Final = ("forward", "backward", "optimizer")
ADAMW: Final = {"bf16-mixed": (4, 4, 8), "bf16": (2, 2, 4)}
"""Bytes of weight, gradient and two averages, as the steps say."""


def moment(draw: Draw) -> Task:
    model, precision, tokens = draw.pick("run", MOMENTS)
    case = Case(model, {})
    scenario = case.train(tokens, precision=precision)
    found = ask(scenario)
    kept, count = found.component_peak["activations"], found.parameters["trainable"]
    answer = AT.index(found.peak["phase"])
    weight, gradient, states = ADAMW[precision]
    copies = weight * count
    return Task(
        f"{case.name} is trained with AdamW in {PRECISIONS[precision]}, on one text of {tokens:,} tokens. In which "
        "part of the step is most memory in use?",
        (("weights, gradients, optimizer states", units.binary((weight + gradient + states) * count)),
         ("activations at the end of the forward pass", units.binary(kept)),
         ("working copies of AdamW’s step", f"as large as the weights: {units.binary(copies)}")),
        Asked("choice", choices=tuple(f"in the {PHASES[one]}" for one in AT)),
        "Activations are there at the end of forward and the beginning of backward, working copies in the optimizer "
        "step. When backward begins, there are no gradients yet. Which sum is larger?",
        answer,
        answer,
        (
            amount("end of forward, first of backward", "weights + states + activations",
                 f"{units.binary(weight * count)} + {units.binary(states * count)} + {units.binary(kept)}",
                 (weight + states) * count + kept),
            amount("optimizer step", "weights + gradients + states + working copies",
                 f"{units.binary((weight + gradient + states) * count)} + {units.binary(copies)}",
                 (weight + gradient + states) * count + copies),
            Step("highest", "the larger one", "", f"in the {PHASES[AT[answer]]}", True),
        ),
        "Where backward is highest, the gradient of the logits comes on top of the first sum: it lies just after the "
        "end of the forward pass.",
        (
            Slip(0, "The forward pass ends high, but backward begins there and adds the first gradients on top."),
            Slip(2, "With so many tokens activations are more than gradients and the optimizer’s working copies."),
            Slip(1, "With so few tokens there are hardly any activations; the optimizer’s working copies are more."),
        ),
        "The peak is a moment: many tokens put it into backward, few tokens into the optimizer step.",
        Link("Open it in Timeline", "timeline", dashboard(case, precision=precision, seq=tokens)),
        (scenario,),
    )  # fmt: skip


def component(draw: Draw) -> Task:
    model, precision, tokens = draw.pick("run", MOMENTS)
    case = Case(model, {})
    scenario = case.train(tokens, precision=precision)
    found = ask(scenario)
    names = ("weights", "gradients", "optimizer", "activations")
    count, at = found.parameters["trainable"], found.at_peak
    answer = max(range(len(names)), key=lambda one: at[names[one]])
    weight, _, states = ADAMW[precision]
    return Task(
        f"{case.name} is trained with AdamW in {PRECISIONS[precision]}, on one text of {tokens:,} tokens. At the "
        f"highest instant, which lies in the {PHASES[found.peak['phase']]}: which of these is largest?",
        (("parameters", f"{count:,}"), ("activations, where they are largest",
                                        units.binary(found.component_peak["activations"]))),
        Asked("choice", choices=tuple(LABELS[one] for one in names)),
        "Work out weights, gradients and AdamW’s two averages in bytes, and compare with the activations; in the "
        "optimizer step these are gone.",
        answer,
        answer,
        (
            amount(LABELS["weights"], "parameters × bytes", f"{count:,} × {weight} B", weight * count),
            amount(LABELS["optimizer"], "parameters × bytes of two averages", f"{count:,} × {states} B",
                 states * count),
            amount(LABELS["activations"], "at that instant", "", at["activations"]),
            Step("largest", "", "", LABELS[names[answer]], True),
        ),
        "What lives for a moment (working copies, the logits’ gradients) is not among the choices.",
        (
            Slip(0, "The optimizer keeps two numbers for every weight: it is larger than the weights."),
            Slip(1, "A gradient is as large as its weight, and the optimizer keeps two such numbers."),
            Slip(2, "Compare with the activations: there are many tokens."),
            Slip(3, "Compare with the optimizer’s two averages: at that instant there are fewer activations."),
        ),
        "With AdamW the optimizer states are the largest lasting part; enough tokens make activations larger still.",
        Link("Open it in Timeline", "timeline", dashboard(case, precision=precision, seq=tokens)),
        (scenario,),
    )  # fmt: skip


def logits(draw: Draw) -> Task:
    case = Case(draw.pick("model", LARGE_VOCABULARY), {})
    tokens, batch = draw.pick("tokens", (2048, 4096, 8192)), draw.pick("batch", (1, 2, 4))
    scenario = case.train(tokens, batch)
    spec = case.spec
    hand = batch * tokens * spec.vocab * FP32
    run = memcalc.timeline({**scenario, "training": {"optimizer": "sgd"}}, False)
    found = next(one for one in run.tensors if one.shape[-1:] == (spec.vocab,) and one.format == "fp32")
    return Task(
        f"{case.name} is trained on {batch} × {tokens:,} tokens. For the loss it writes down a number in 32 bits for "
        "every token and every word of its vocabulary. How large is this one tensor?",
        (("vocabulary", f"{spec.vocab:,}"), ("texts at once", f"{batch}"), ("tokens in each", f"{tokens:,}")),
        GIB,
        "Tokens of the whole batch, times the vocabulary, times the bytes of 32 bits.",
        found.bytes,
        hand,
        (amount("logits", "texts × tokens × vocabulary × 4 B", f"{batch} × {tokens:,} × {spec.vocab:,} × {FP32} B",
              hand, True),),
        "Nothing is left. But there is not one of them: the loss, its gradient and a copy live at once for a moment.",
        (
            Slip(hand / 2, "Two bytes for each: the loss is computed in 32 bits."),
            *([Slip(hand / batch, f"The batch is left out: {batch} texts go through at once.")] if batch > 1 else []),
            Slip(hand / tokens, "One token only: in training every position has its logits."),
        ),
        "A large vocabulary makes the end of the forward pass the widest place. A fused loss never writes it down "
        "whole.",
        Link("Open it in Timeline", "timeline", dashboard(case, batch=batch, seq=tokens)),
        ({**scenario, "training": {"optimizer": "sgd"}},),
    )  # fmt: skip


ALL: Final = (
    Exercise("component", "The largest at the peak", "practitioner", 9, component, ("peak", "activations")),
    Exercise("logits", "A number for every word", "engineer", 9, logits, ("logits", "micro-batch")),
    Exercise("moment", "The moment that decides", "engineer", 9, moment, ("peak", "activations")),
)
