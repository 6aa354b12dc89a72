"""Exercises about what is counted by the parameter: weights, gradients, optimizer states; their formats and shards."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.learn.case import Case, ask, device
from memcalc.learn.exercises.exercise import Asked, Draw, Exercise, Slip, Step, Task, amount
from memcalc.learn.lesson import Link
from memcalc.learn.lessons import cards
from memcalc.learn.lessons.variables import PRECISIONS, dashboard

BYTES: Final = {"fp32": 4, "bf16": 2}
SEVEN_BILLION: Final = ("Llama-2-7B", "Mistral-7B-v0.1", "Llama-3.1-8B", "Qwen2.5-7B", "OLMo-2-7B")
TRAINED: Final = ("Llama-3.2-1B", "Llama-3.2-3B", "Qwen2.5-1.5B", "Qwen2.5-7B", "Llama-3.1-8B", "Qwen2.5-14B")
KEPT: Final = {
    ("bf16-mixed", "lion"): (4, 4, 4, "one average in 32 bits"),
    ("bf16-mixed", "sgd-momentum"): (4, 4, 4, "one average in 32 bits"),
    ("bf16-mixed", "sgd"): (4, 4, 0, "nothing"),
    ("bf16", "adamw"): (2, 2, 4, "two averages in 16 bits"),
    ("fp32", "adamw"): (4, 4, 8, "two averages in 32 bits"),
    ("bf16", "sgd-momentum"): (2, 2, 2, "one average in 16 bits"),
}
"""Bytes of weight, gradient and states by (precision, optimizer): what the solution's steps say. The answer is the
estimate's own."""
GIB: Final = Asked("size", "GiB")
SHORT: Final = 128
"""Tokens of a text that is short enough not to matter."""


def counted(case: Case) -> tuple[str, str]:
    """The number of parameters, as a question gives it."""
    return "parameters", f"{ask(case.infer(SHORT)).parameters['total']:,}"


def weights(draw: Draw) -> Task:
    case = Case(draw.pick("model", SEVEN_BILLION), {})
    name = draw.pick("format", ("bf16", "bf16", "fp32"))
    scenario = case.infer(SHORT, precision=name)
    found = ask(scenario)
    count, each = found.parameters["total"], BYTES[name]
    other = 6 - each
    return Task(
        f"How much memory do the weights of {case.name} take when every one is stored in {name}?",
        (counted(case), ("a weight in " + name, f"{8 * each} bits")),
        GIB,
        "Bytes of one weight, times the number of weights. Then divide by 1024³ to come to GiB.",
        found.component_peak["weights"],
        count * each,
        (amount("weights", "parameters × bytes of the format", f"{count:,} × {each} B", count * each, True),),
        "A difference, if there is one, is small tables that the model code keeps beside its weights.",
        (
            Slip(count * other, f"It looks like {other} bytes for each weight; {name} has {8 * each} bits, {each} "
                                "bytes."),
            Slip(count, "It looks like one byte for each weight: that is an 8-bit format."),
        ),
        "A model’s name tells its weights: billions of parameters, times 2 for 16 bits, are its gigabytes.",
        Link("Open it in Inference", "inference", dashboard(case, seq=SHORT, infer=name)),
        (scenario,),
    )  # fmt: skip


def lasting(draw: Draw) -> Task:
    case = Case(draw.pick("model", TRAINED), {})
    scenario = case.train(SHORT)
    found = ask(scenario)
    count = found.parameters["trainable"]
    return Task(
        f"{case.name} is trained with AdamW in {PRECISIONS['bf16-mixed']}. How much memory do its weights, gradients "
        "and optimizer states take together?",
        (counted(case), ("AdamW keeps for each parameter", "two averages"), ("all of these are kept in", "32 bits")),
        GIB,
        "How many 32-bit numbers belong to one parameter? Count the parameter itself too.",
        found.persistent,
        16 * count,
        (
            amount("weights", "parameters × 4 B", f"{count:,} × 4 B", 4 * count),
            amount("gradients", "as many again", f"{count:,} × 4 B", 4 * count),
            amount("optimizer states", "two averages for each", f"{count:,} × 2 × 4 B", 8 * count),
            amount("together", "16 bytes per parameter", f"{count:,} × 16 B", 16 * count, True),
        ),
        "Nothing to speak of is left: this part is counted by the parameter alone.",
        (
            Slip(8 * count, "The optimizer states are left out, or everything is taken in 16 bits: mixed precision "
                 "keeps its weights, gradients and states in 32."),
            Slip(12 * count, "One of four is left out: weights, gradients, and two averages of AdamW’s."),
            Slip(4 * count, "These are the weights alone: gradients and optimizer states are as large and larger."),
            Slip(2 * count, "These are the weights alone, in 16 bits, as for inference."),
            Slip(18 * count, "A 16-bit copy of the weights is counted too. It is there, but only from forward to "
                 "backward: memcalc counts it with the activations."),
        ),
        "Sixteen bytes per parameter: the part of a training that no shorter text and no smaller batch makes smaller.",
        Link("Open it in Training", "training", dashboard(case, seq=SHORT)),
        (scenario,),
    )  # fmt: skip


def each(draw: Draw) -> Task:
    case = Case("Llama-3.2-1B", {})
    precision, optimizer = draw.pick("pair", tuple(KEPT))
    weight, gradient, states, said = KEPT[precision, optimizer]
    scenario = case.train(SHORT, precision=precision, optimizer=optimizer)
    found = ask(scenario)
    whole = weight + gradient + states
    return Task(
        f"A model is trained with {optimizer} in {PRECISIONS[precision]}. How many bytes does each parameter need in "
        "all: for its weight, its gradient and what the optimizer keeps?",
        (("trained in", precision), (f"{optimizer} keeps for each parameter", said)),
        Asked("whole", "bytes"),
        "Write down three numbers: bytes of the weight, of its gradient, of what the optimizer keeps.",
        float(round(found.persistent / found.parameters["trainable"], 3)),
        whole,
        (Step("bytes each", "weight + gradient + states", f"{weight} + {gradient} + {states}", f"{whole} B", True),),
        f"memcalc finds it by training {case.name}; any other model gives the same.",
        (
            *([Slip(weight + gradient, "What the optimizer keeps is left out.")] if states else []),
            Slip(16, "That is AdamW in mixed precision. Look at this optimizer and this precision."),
            Slip(weight, "That is the weight alone."),
        ),
        "“16 bytes per parameter” is one case of many: other optimizers and precisions have other numbers.",
        Link("Open it in Training", "training", dashboard(case, seq=SHORT, precision=precision, optimizer=optimizer)),
        (scenario,),
    )  # fmt: skip


def less(draw: Draw) -> Task:
    case = Case(draw.pick("model", ("Llama-3.1-8B", "Qwen2.5-7B", "Llama-2-7B", "Qwen2.5-14B")), {})
    train, infer = case.train(1024), case.infer(1024, new=128)
    needs, used = device(ask(train)), device(ask(infer))
    answer, hand = 100 * (1 - used / needs), 100 * (1 - 2 / 16)
    return Task(
        f"{case.name} is trained with AdamW in mixed precision on one text of 1,024 tokens, and then used in bf16 on "
        "the same text. How much less memory does using it need, in per cent of what training needs?",
        (("training keeps for each parameter", "16 bytes"), ("inference keeps for each parameter", "2 bytes")),
        Asked("percent", "%"),
        "With one short text the parameters decide. Compare the bytes per parameter.",
        answer,
        hand,
        (
            Step("left", "bytes of inference ÷ bytes of training", "2 ÷ 16", "12.5 %"),
            Step("less", "1 − what is left", "1 − 2 ÷ 16", f"{hand:.1f} %", True),
        ),
        f"memcalc compares whole runs ({units.binary(needs)} and {units.binary(used)}): on top of the 16 bytes comes "
        "what the optimizer step needs for a moment, so that a little more is saved.",
        (
            Slip(50, "Half is what 16 bits instead of 32 would give for the weights alone. Training also keeps "
                 "gradients and two averages."),
            Slip(100 - answer, "That is what is left, not what is saved."),
            Slip(75, "That compares 2 bytes with 8: all of training in 16 bits. Mixed precision keeps 16."),
        ),
        "With AdamW and short texts, inference needs about an eighth. With other optimizers, or LoRA, it does not.",
        Link("Open both in Fit", "", dashboard(case)),
        (train, infer),
    )  # fmt: skip


def master(draw: Draw) -> Task:
    case = Case(draw.pick("model", TRAINED), {})
    scenario = case.train(SHORT, precision="bf16-master")
    found = ask(scenario)
    count = found.parameters["trainable"]
    return Task(
        f"{case.name} is trained with AdamW; weights and gradients are in bf16, beside a 32-bit master copy and 32-bit "
        "averages. How much memory do optimizer states and master copy take together?",
        (counted(case),),
        GIB,
        "Three numbers in 32 bits belong to every parameter.",
        found.component_peak["optimizer"],
        12 * count,
        (
            amount("two averages", "parameters × 2 × 4 B", f"{count:,} × 2 × 4 B", 8 * count),
            amount("master copy", "parameters × 4 B", f"{count:,} × 4 B", 4 * count),
            amount("together", "12 bytes per parameter", f"{count:,} × 12 B", 12 * count, True),
        ),
        "Nothing to speak of is left.",
        (
            Slip(8 * count, "The fp32 master copy is left out: small updates would be lost in 16-bit weights."),
            Slip(4 * count, "Two averages in 16 bits, or the master copy alone: all three are in 32 bits."),
            Slip(6 * count, "Three numbers, but in 16 bits: they are kept in 32."),
            Slip(16 * count, "Weights and gradients are counted too: here only optimizer states and master copy are "
                 "asked for."),
        ),
        "16-bit weights do not make the rest 16-bit: 2 + 2 + 12 bytes are 16 again.",
        Link("Open it in Training", "training", dashboard(case, seq=SHORT, precision="bf16-master")),
        (scenario,),
    )  # fmt: skip


def zero(draw: Draw) -> Task:
    case = Case(draw.pick("model", ("Llama-3.1-8B", "Qwen2.5-7B", "Qwen2.5-14B", "Qwen2.5-32B")), {})
    way, count = draw.pick("stage", ("zero1", "zero2", "zero3")), draw.pick("cards", (4, 8, 16))
    scenario = cards.scenario(case, way, count)
    found = ask(scenario)
    total = found.parameters["trainable"]
    size = {stage: cards.by_formula(stage, count) for stage in ("zero1", "zero2", "zero3")}
    divided = {"zero1": "optimizer states and master copy", "zero2": "optimizer states, master copy and gradients",
               "zero3": "optimizer states, master copy, gradients and weights"}[way]  # fmt: skip
    figures = {"zero1": f"2 + 2 + 12 ÷ {count}", "zero2": f"2 + (2 + 12) ÷ {count}",
               "zero3": f"(2 + 2 + 12) ÷ {count}"}[way]  # fmt: skip
    others = [stage for stage in size if stage != way]
    return Task(
        f"{case.name} is trained on {count} cards with ZeRO stage {way[-1]}, AdamW, bf16 weights and gradients beside "
        "a 32-bit master copy. How much do weights, gradients and optimizer part take on each card?",
        (counted(case), (f"stage {way[-1]} divides", divided), ("for each parameter", "2 + 2 + 12 bytes on one card")),
        GIB,
        "Divide by the number of cards what the stage divides; add what every card keeps whole.",
        found.persistent,
        size[way] * total,
        (
            Step("bytes per parameter", "what is whole + what is divided ÷ cards", figures, f"{size[way]:.3g} B"),
            amount("on each card", "parameters × bytes", f"{total:,} × {size[way]:.4g} B", size[way] * total, True),
        ),
        "DeepSpeed rounds shards up and pads them: some bytes of difference.",
        (
            *(Slip(size[stage] * total, f"That is stage {stage[-1]}: look at what stage {way[-1]} divides.")
              for stage in others),
            Slip(16 * total, "That is one card without ZeRO: nothing is divided."),
            Slip((size[way] - 8 / count) * total, "The fp32 averages are left out, or taken in half their size: "
                 "optimizer states and master copy are 12 bytes."),
            Slip((size[way] - 4 / count) * total, "The fp32 master copy is left out."),
        ),
        "ZeRO divides what belongs to the parameters, stage by stage. Activations stay whole on every card.",
        Link("Open it in Training", "training",
             dashboard(case, precision="bf16-master", cards=count, strategy=f"ZeRO stage {way[-1]}")),
        (scenario,),
    )  # fmt: skip


ALL: Final = (
    Exercise("weights", "The weights of a 7B model", "starter", 1, weights, ("parameter", "GiB and GB")),
    Exercise("lasting", "Weights, gradients, optimizer states", "starter", 1, lasting,
             ("mixed precision", "gradient", "optimizer states")),
    Exercise("each", "Another optimizer, another precision", "starter", 1, each, ("optimizer", "mixed precision")),
    Exercise("less", "Using it instead of training it", "starter", 2, less, ("inference", "optimizer states")),
    Exercise("master", "The master copy", "practitioner", 6, master, ("master weights", "optimizer states")),
    Exercise("zero", "Three stages of ZeRO", "engineer", 10, zero, ("ZeRO", "replica and shard", "master weights")),
)  # fmt: skip
