"""Exercises about what is counted by the token: activations, the cache, scores."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.learn.case import Case, ask, device
from memcalc.learn.exercises.exercise import Draw, Exercise, Slip, Step, Task, amount
from memcalc.learn.exercises.parameters import GIB
from memcalc.learn.lesson import Link
from memcalc.learn.lessons import context
from memcalc.learn.lessons.variables import dashboard

GROUPED: Final = ("Llama-3.1-8B", "Mistral-7B-v0.3", "Qwen2.5-7B", "Qwen2.5-14B", "Llama-3.1-70B")
LARGE_VOCABULARY: Final = ("Llama-3.2-1B", "Llama-3.1-8B", "Qwen2.5-7B", "Qwen2.5-1.5B")
FP32: Final = 4
BF16: Final = 2
FIRST, SECOND, WANTED = 8, 16, 32
"""Batches of the straight line: two that are given, one that is asked for."""


def line(draw: Draw) -> Task:
    case = Case(draw.pick("model", ("Qwen2.5-0.5B", "Llama-3.2-1B", "TinyLlama-1.1B", "Qwen2.5-1.5B")), {})
    tokens = draw.pick("tokens", (1024, 2048))
    sizes = {one: device(ask(case.train(tokens, one))) for one in (FIRST, SECOND, WANTED)}
    slope = (sizes[SECOND] - sizes[FIRST]) / (SECOND - FIRST)
    hand = sizes[SECOND] + slope * (WANTED - SECOND)
    return Task(
        f"Training {case.name} on texts of {tokens:,} tokens needs {units.binary(sizes[FIRST])} with {FIRST} texts at "
        f"once and {units.binary(sizes[SECOND])} with {SECOND}. How much will it need with {WANTED}?",
        ((f"batch {FIRST}", units.binary(sizes[FIRST])), (f"batch {SECOND}", units.binary(sizes[SECOND]))),
        GIB,
        "Memory over the batch is a straight line that does not begin at zero. How much does one more text cost?",
        sizes[WANTED],
        hand,
        (
            amount("one more text", f"difference ÷ {SECOND - FIRST} texts",
                 f"({units.binary(sizes[SECOND])} − {units.binary(sizes[FIRST])}) ÷ {SECOND - FIRST}",
                 slope),
            amount(f"batch {WANTED}", f"batch {SECOND} + {WANTED - SECOND} texts more",
                 f"{units.binary(sizes[SECOND])} + {WANTED - SECOND} × {units.binary(slope)}", hand, True),
        ),
        "What is left comes from rounding: the allocator takes memory in pieces.",
        (
            Slip(2 * sizes[SECOND], "Twice the batch is not twice the memory: weights, gradients and states are there "
                 "once."),
            Slip(WANTED * slope, "The fixed part is left out: the line does not begin at zero."),
            Slip(4 * sizes[FIRST], "Four times the batch is not four times the memory: part of it is fixed."),
        ),
        "Two measurements give the line, and the line gives every other batch.",
        Link("Open it in Batch", "batch", dashboard(case, batch=WANTED, seq=tokens)),
        tuple(case.train(tokens, one) for one in sizes),
    )  # fmt: skip


def accumulate(draw: Draw) -> Task:
    case = Case(draw.pick("model", ("Llama-3.2-3B", "Llama-3.1-8B", "Qwen2.5-7B", "Mistral-7B-v0.1")), {})
    pieces, batch, tokens = draw.pick("pieces", (4, 8, 16)), 16, 1024
    whole = ask(case.train(tokens, batch, "bf16"))
    scenario = case.train(tokens, batch // pieces, "bf16", grad_accumulation=pieces)
    found = ask(scenario)
    stays, kept = whole.persistent, whole.component_peak["activations"]
    return Task(
        f"{case.name} learns from {batch} texts in each step. Now they go through the model in {pieces} equal pieces, "
        "one after the other, and their gradients are added up. How much do weights, gradients, optimizer states and "
        "activations take together then?",
        (("weights, gradients, optimizer states", units.binary(stays)),
         (f"activations of {batch} texts at once", units.binary(kept))),
        GIB,
        "Which of the two numbers counts texts? Only that one is divided.",
        found.persistent + found.component_peak["activations"],
        stays + kept / pieces,
        (
            amount("activations of one piece", "activations ÷ pieces", f"{units.binary(kept)} ÷ {pieces}",
                 kept / pieces),
            amount("together", "what stays + one piece", f"{units.binary(stays)} + {units.binary(kept / pieces)}",
                 stays + kept / pieces, True),
        ),
        "Next to nothing is left: activations grow evenly with the batch.",
        (
            Slip((stays + kept) / pieces, "All of it is divided. Weights, gradients and states are there once, "
                 "whatever the pieces."),
            Slip(stays + kept, "Nothing is divided: one piece’s activations are freed before the next piece comes."),
            Slip(kept / pieces, "These are the activations alone: weights, gradients and states stay beside them."),
        ),
        "Accumulation divides activations, and nothing else; the gradients that come out are the same.",
        Link("Open it in Training", "training",
             dashboard(case, precision="bf16", batch=batch // pieces, seq=tokens, accumulate=pieces)),
        (case.train(tokens, batch, "bf16"), scenario),
    )  # fmt: skip


def cache(draw: Draw) -> Task:
    case = Case(draw.pick("model", GROUPED), {})
    tokens, batch = draw.pick("tokens", (32768, 32768, 16384)), draw.pick("batch", (1, 2, 4))
    scenario = case.infer(tokens, batch)
    found, spec = ask(scenario), case.spec
    layers, heads, size = spec.layers, spec.kv_heads, spec.head_dim
    one = 2 * layers * heads * size * BF16
    hand = one * tokens * batch
    return Task(
        f"{case.name} has read {'one text' if batch == 1 else f'{batch} texts'} of {tokens:,} tokens"
        f"{'' if batch == 1 else ' each'}. How large is its KV cache in bf16?",
        (("layers", f"{layers}"), ("query heads", f"{spec.heads}"), ("heads for keys and values", f"{heads}"),
         ("values per head", f"{size}")),
        GIB,
        "For every token of every text, each layer keeps a key and a value for each of its key-value heads.",
        found.component_peak["kv_cache"],
        hand,
        (
            amount("one token", "2 × layers × key-value heads × values × 2 B", f"2 × {layers} × {heads} × {size} × 2 B",
                 one),
            amount("the cache", "one token × tokens × texts", f"{units.binary(one)} × {tokens:,} × {batch}",
                 hand, True),
        ),
        "memcalc’s is a little larger: while the cache of a layer grows, old and new lie side by side for a moment.",
        (
            Slip(hand / 2, "Half of it: keys and values are both kept, in 2 bytes each."),
            Slip(hand * spec.heads / heads, "All query heads are counted: with grouped queries only "
                 f"{heads} heads keep keys and values."),
            *([Slip(hand / batch, f"That is one text: {batch} are there.")] if batch > 1 else []),
            Slip(hand / layers, "That is one layer: each of them has a cache of its own."),
            Slip(hand * 2, "Twice as much: are values taken in 32 bits?"),
        ),
        "The cache grows with every token of every text; fewer heads for keys and values make it smaller.",
        Link("Open it in Inference", "inference", dashboard(case, batch=batch, seq=tokens, new=1)),
        (scenario,),
    )  # fmt: skip


def checkpointing(draw: Draw) -> Task:
    case = Case(draw.pick("model", LARGE_VOCABULARY), {})
    tokens, batch = draw.pick("tokens", (2048, 4096)), draw.pick("batch", (1, 2, 4))
    scenario = case.train(tokens, batch, "bf16", checkpointing="full")
    found, spec = ask(scenario), case.spec
    inputs = spec.layers * batch * tokens * spec.hidden * BF16
    logits = batch * tokens * spec.vocab * FP32
    without = ask(case.train(tokens, batch, "bf16")).component_peak["activations"]
    return Task(
        f"{case.name} is trained in bf16 on {batch} × {tokens:,} tokens with full gradient checkpointing: of every "
        "block only the input is kept. At the end of the forward pass the loss keeps one number in 32 bits for each "
        "token and each word of the vocabulary. How much do activations take at that moment?",
        (("blocks", f"{spec.layers}"), ("width of a block’s input", f"{spec.hidden:,}"),
         ("vocabulary", f"{spec.vocab:,}")),
        GIB,
        "Two products: blocks × tokens × width in 16 bits, and tokens × vocabulary in 32 bits.",
        found.component_peak["activations"],
        inputs + logits,
        (
            amount("inputs of all blocks", "blocks × tokens × width × 2 B",
                 f"{spec.layers} × {batch} × {tokens:,} × {spec.hidden:,} × {BF16} B", inputs),
            amount("the loss", "tokens × vocabulary × 4 B", f"{batch} × {tokens:,} × {spec.vocab:,} × {FP32} B",
                 logits),
            amount("together", "both are there at once", f"{units.binary(inputs)} + {units.binary(logits)}",
                 inputs + logits, True),
        ),
        f"What is left are the last norm’s inputs. Without checkpointing it would be {units.binary(without)}.",
        (
            Slip(logits, "The blocks’ inputs are left out."),
            Slip(inputs, "What the loss keeps is left out: with a large vocabulary it is the larger part."),
            Slip(inputs + logits / 2, "The loss is taken in 16 bits: it is computed in 32."),
            Slip((inputs + logits) / batch, f"The batch is left out: {batch} texts go through at once."),
            Slip(without, "That is without checkpointing."),
        ),
        "Checkpointing shrinks the blocks. What is left is often the end of the model: its vocabulary.",
        Link("Open it in Training", "training",
             dashboard(case, precision="bf16", batch=batch, seq=tokens, checkpointing="true")),
        (scenario,),
    )  # fmt: skip


def scores(draw: Draw) -> Task:
    case = Case(draw.pick("model", ("Llama-2-7B", "Llama-3.1-8B", "Mistral-7B-v0.1", "Llama-3.2-1B")), {})
    tokens = draw.pick("tokens", (2048, 4096))
    eager, flash = (context.training(case, tokens, one) for one in ("eager", "flash"))
    found = ask(eager).component_peak["activations"] - ask(flash).component_peak["activations"]
    spec, each = case.spec, 6
    hand = spec.layers * spec.heads * tokens * tokens * each
    return Task(
        f"{case.name} is trained in bf16 on one text of {tokens:,} tokens with eager attention, which writes down a "
        "score for every pair of tokens, in every head of every layer. Kept for the backward pass are 4 bytes for each "
        "(the softmax in 32 bits) and 2 more (the same in bf16). How much more memory do activations take than with "
        "flash attention?",
        (("layers", f"{spec.layers}"), ("query heads", f"{spec.heads}"), ("tokens", f"{tokens:,}")),
        GIB,
        "Every token has a score for every other token: their number grows with the square of the text.",
        found,
        hand,
        (
            Step("scores", "layers × heads × tokens²", f"{spec.layers} × {spec.heads} × {tokens:,} × {tokens:,}",
                 f"{spec.layers * spec.heads * tokens * tokens:,}"),
            amount("kept", "scores × (4 + 2) B", f"{spec.layers * spec.heads * tokens * tokens:,} × {each} B",
                 hand, True),
        ),
        "What is left: eager attention also spreads keys and values over all query heads.",
        (
            Slip(hand / 3, "2 bytes for each score: the softmax is kept in 32 bits as well."),
            Slip(hand * 2 / 3, "4 bytes for each score: a copy in 16 bits is kept as well."),
            Slip(hand / spec.layers, "That is one layer: training keeps the scores of all."),
            Slip(hand / spec.heads, "That is one head: each has scores of its own."),
            Slip(hand / 2, "Half of the pairs: the mask hides what comes later, but its scores are stored all the "
                           "same."),
        ),
        "Eager attention grows with the square of the text; flash attention never has all scores at once.",
        Link("Open it in Training", "training", dashboard(case, precision="bf16", seq=tokens, attention="eager")),
        (eager, flash),
    )  # fmt: skip


ALL: Final = (
    Exercise("line", "One batch more", "starter", 3, line, ("micro-batch", "activations")),
    Exercise("accumulate", "In pieces", "practitioner", 4, accumulate, ("gradient accumulation", "activations")),
    Exercise("cache", "The cache of a long text", "practitioner", 8, cache,
             ("KV cache", "grouped-query attention", "head")),
    Exercise("checkpointing", "Only the inputs are kept", "engineer", 4, checkpointing,
             ("gradient checkpointing", "logits")),
    Exercise("scores", "Every pair of tokens", "engineer", 8, scores, ("eager attention", "flash attention")),
)  # fmt: skip
