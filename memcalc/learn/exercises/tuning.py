"""Exercises about training a small part, and about weights in few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memcalc import units
from memcalc.learn.case import Case, ask
from memcalc.learn.exercises.exercise import Asked, Draw, Exercise, Slip, Step, Task, amount
from memcalc.learn.exercises.parameters import GIB, SHORT
from memcalc.learn.lesson import Link
from memcalc.learn.lessons.variables import dashboard

BF16: Final = 2
ADAPTED: Final = ("Llama-3.1-8B", "Llama-3.2-3B", "Mistral-7B-v0.3", "Llama-2-7B")
"""Models in which PEFT adapts q_proj and v_proj if nothing is said."""
RANKS: Final = (8, 16, 32, 64)


@dataclass(frozen=True)
class Stored:
    """How a format stores a block of weights: ``bits`` each, and ``scale`` bits for every ``block`` of them."""

    name: str
    bits: int
    said: str
    figures: str
    per_weight: float


FORMATS: Final = {
    "nf4": Stored("NF4 (bitsandbytes)", 4, "one scale of 32 bits for every 64 weights", "4 + 32 ÷ 64", 4.5),
    "nf4-dq": Stored("NF4 with double quantisation (as QLoRA uses it)", 4,
                     "one scale of 8 bits for every 64 weights, and one of 32 bits for every 256 scales",
                     "4 + 8 ÷ 64 + 32 ÷ (64 × 256)", 4 + 8 / 64 + 32 / (64 * 256)),
    "gptq-4bit-g128": Stored("GPTQ with 4 bits and groups of 128", 4,
                             "one scale of 16 bits and one zero point of 4 bits for every 128 weights",
                             "4 + 16 ÷ 128 + 4 ÷ 128", 4 + 20 / 128),
}  # fmt: skip
"""Blocks and scales by their papers and code: Dettmers et al., QLoRA (arXiv 2305.14314); AutoGPTQ's qlinear. What the
answers hold is computed by ``memcalc.quantisation``."""


def adapters(draw: Draw) -> Task:
    case = Case(draw.pick("model", ADAPTED), {})
    rank = draw.pick("rank", RANKS)
    scenario = case.train(SHORT, precision="bf16", method="lora", lora={"r": rank})
    found, spec = ask(scenario), case.spec
    wide, narrow = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
    query, value = rank * (spec.hidden + wide), rank * (spec.hidden + narrow)
    hand = spec.layers * (query + value)
    full = ask(case.infer(SHORT)).parameters["total"]
    return Task(
        f"{case.name} gets LoRA adapters of rank {rank} at q_proj and v_proj in every layer. How many parameters are "
        "trained?",
        (("layers", f"{spec.layers}"), ("q_proj", f"{spec.hidden:,} → {wide:,}"),
         ("v_proj", f"{spec.hidden:,} → {narrow:,}")),
        Asked("number", "parameters"),
        "An adapter is two matrices: rank × inputs, and outputs × rank.",
        found.parameters["trainable"],
        hand,
        (
            Step("at q_proj", "rank × (inputs + outputs)", f"{rank} × ({spec.hidden:,} + {wide:,})", f"{query:,}"),
            Step("at v_proj", "rank × (inputs + outputs)", f"{rank} × ({spec.hidden:,} + {narrow:,})", f"{value:,}"),
            Step("in all layers", "layers × both", f"{spec.layers} × ({query:,} + {value:,})", f"{hand:,}", True),
        ),
        f"Nothing is left. It is {100 * hand / full:.2g} % of the model’s parameters.",
        (
            Slip(spec.layers * rank * 2 * spec.hidden, "One of an adapter’s two matrices is left out."),
            Slip(spec.layers * rank * (wide + narrow), "One of an adapter’s two matrices is left out."),
            Slip(query + value, "That is one layer."),
            Slip(spec.layers * query, "v_proj is left out."),
            Slip(spec.layers * 2 * query, "v_proj is narrower here: keys and values have fewer heads."),
            Slip(full, "That is the whole model: only the adapters are trained."),
        ),
        "Adapters are thousandths of a model. What goes with them, gradients and states, becomes as small.",
        Link("Open it in Training", "training", dashboard(case, seq=SHORT, precision="bf16", method="LoRA", rank=rank)),
        (scenario,),
    )  # fmt: skip


def beside(draw: Draw) -> Task:
    case = Case(draw.pick("model", ADAPTED), {})
    rank = draw.pick("rank", (16, 64, 128))
    scenario = case.train(SHORT, precision="bf16", method="lora", lora={"r": rank})
    found = ask(scenario)
    trained = found.parameters["trainable"]
    frozen = found.parameters["total"] - trained
    return Task(
        f"{case.name} is fine-tuned with LoRA: the weights are frozen in bf16, the adapters are trained in 32 bits "
        "with AdamW. How much memory do weights, gradients and optimizer states take together?",
        (("frozen parameters", f"{frozen:,}"), ("parameters of the adapters", f"{trained:,}")),
        GIB,
        "Two sums: what is frozen is only stored; what is trained has a gradient and two averages too.",
        found.persistent,
        BF16 * frozen + 16 * trained,
        (
            amount("frozen weights", "parameters × 2 B", f"{frozen:,} × 2 B", BF16 * frozen),
            amount("adapters", "parameters × (4 + 4 + 8) B", f"{trained:,} × 16 B", 16 * trained),
            amount("together", "", f"{units.binary(BF16 * frozen)} + {units.binary(16 * trained)}",
                 BF16 * frozen + 16 * trained, True),
        ),
        "Nothing to speak of is left.",
        (
            Slip(16 * trained, "The frozen weights are left out: they must still be there."),
            Slip(16 * (frozen + trained), "That is training all weights: frozen ones have no gradients and no states."),
            Slip(4 * frozen + 16 * trained, "The frozen weights are taken in 32 bits; here they are in bf16."),
            Slip(8 * (frozen + trained), "That is training all weights in 16 bits."),
        ),
        "With LoRA nearly all that lasts is the frozen weights. Only fewer bits make them smaller.",
        Link("Open it in Training", "training", dashboard(case, seq=SHORT, precision="bf16", method="LoRA", rank=rank)),
        (scenario,),
    )  # fmt: skip


def _kept(case: Case) -> tuple[int, int]:
    """(parameters in the blocks' matrices, which are quantised; the rest, which stays in 16 bits): embedding, output
    layer and norms."""
    spec, total = case.spec, ask(case.infer(SHORT)).parameters["total"]
    rest = (1 if spec.tied else 2) * spec.vocab * spec.hidden + (2 * spec.layers + 1) * spec.hidden
    return total - rest, rest


def bits(draw: Draw) -> Task:
    case = Case("Llama-3.1-8B", {})
    name = draw.pick("format", ("nf4", "nf4-dq", "gptq-4bit-g128"))
    kept, (matrices, rest) = FORMATS[name], _kept(case)
    scenario = case.infer(SHORT, weights=name)
    found = ask(scenario).component_peak["weights"]
    return Task(
        f"{kept.name} stores weights in blocks. How many bits does one weight take, its share of the scales included?",
        (("a weight", f"{kept.bits} bits"), ("beside them", kept.said)),
        Asked("number", "bits", right=0.015),
        "Divide the bits of a scale by the number of weights that share it, and add them.",
        8 * (found - BF16 * rest) / matrices,
        kept.per_weight,
        (Step("bits per weight", "bits + bits of the scales ÷ weights that share them", kept.figures,
              f"{kept.per_weight:.4g} bits", True),),
        f"memcalc finds it from the bytes of {case.name}’s matrices in this format, buffers included.",
        (
            Slip(kept.bits, "The scales are left out."),
            Slip(kept.per_weight / 8, "That is bytes: bits are asked for."),
            Slip(4.5, "Here scales are stored in fewer bits, or shared by more weights."),
        ),
        "“4 bits” are a little more than 4: every block of weights has a scale beside it.",
        Link("Open it in Inference", "inference", dashboard(case, seq=SHORT, new=1, weights=name)),
        (scenario,),
    )  # fmt: skip


def four_bits(draw: Draw) -> Task:
    case = Case(draw.pick("model", ("Llama-3.1-8B", "Qwen2.5-7B", "Mistral-7B-v0.3", "Llama-3.2-3B")), {})
    scenario = case.infer(SHORT, weights="nf4")
    found, (matrices, rest) = ask(scenario).component_peak["weights"], _kept(case)
    hand = matrices * 4.5 / 8 + rest * BF16
    return Task(
        f"{case.name} is loaded in NF4: the matrices of the blocks take 4.5 bits a weight; embedding, output layer and "
        "norms stay in bf16. How much memory do all weights take?",
        (("in the blocks’ matrices", f"{matrices:,}"), ("all other parameters", f"{rest:,}")),
        Asked("size", "GiB", right=0.05),
        "Two products and a sum. How many bytes are 4.5 bits?",
        found,
        hand,
        (
            amount("matrices", "parameters × 4.5 bits ÷ 8", f"{matrices:,} × 4.5 ÷ 8", matrices * 4.5 / 8),
            amount("the rest", "parameters × 2 B", f"{rest:,} × 2 B", BF16 * rest),
            amount("together", "", f"{units.binary(matrices * 4.5 / 8)} + {units.binary(BF16 * rest)}", hand, True),
        ),
        "Next to nothing is left: biases and small tables.",
        (
            Slip((matrices + rest) / 2, "That is 4 bits for everything: scales are left out, and what stays in 16 "
                                        "bits."),
            Slip((matrices + rest) * 4.5 / 8, "That is 4.5 bits for everything: embedding and output layer stay in "
                                              "bf16."),
            Slip(matrices / 2 + rest * BF16, "The scales are left out: 4.5 bits, not 4."),
            Slip(matrices * 4.5 / 8, "Embedding, output layer and norms are left out."),
            Slip((matrices + rest) * BF16, "That is bf16 for everything."),
        ),
        "A model “in 4 bits” is larger than a quarter of 16 bits: the larger its vocabulary, the more.",
        Link("Open it in Inference", "inference", dashboard(case, seq=SHORT, new=1, weights="nf4")),
        (scenario,),
    )  # fmt: skip


ALL: Final = (
    Exercise("adapters", "How small is LoRA?", "practitioner", 7, adapters, ("LoRA", "grouped-query attention")),
    Exercise("beside", "Adapters beside frozen weights", "practitioner", 7, beside, ("LoRA", "optimizer states")),
    Exercise("bits", "Four bits and a bit", "practitioner", 6, bits, ("quantisation", "QLoRA")),
    Exercise("four-bits", "A model in four bits", "engineer", 6, four_bits, ("quantisation", "parameter")),
)
