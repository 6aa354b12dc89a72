"""Exercises about cards: what fits, and how many."""

from __future__ import annotations

from math import floor
from typing import Any, Final

from memcalc import units
from memcalc.hardware.fit import device_for
from memcalc.learn.case import Case, Json, ask
from memcalc.learn.exercises.exercise import Asked, Draw, Exercise, Slip, Step, Task, amount, exact
from memcalc.learn.exercises.parameters import BYTES
from memcalc.learn.lesson import Link
from memcalc.learn.lessons.variables import dashboard
from memcalc.scenario import Scenario
from memcalc.solve.largest import largest

CARDS: Final = ("8GB", "16GB", "24GB", "48GB", "80GB")
USED: Final = ("Llama-3.1-8B", "Qwen2.5-14B", "Llama-3.2-3B", "Qwen2.5-32B", "SmolLM2-1.7B")
FIRST, SECOND = 4, 8
"""Batches for which the question says what they need."""
TRAINED: Final = (
    ("Llama-3.2-1B", 512), ("Qwen2.5-0.5B", 512), ("Qwen2.5-0.5B", 1024), ("TinyLlama-1.1B", 1024),
    ("Qwen3-0.6B", 512), ("gpt2-medium", 1024), ("SmolLM2-360M", 2048),
)  # fmt: skip
"""Runs whose division does not end beside a whole number: rounded figures then lead to the same answer."""
SERVED: Final = ("Llama-3.1-8B", "Mistral-7B-v0.3", "Qwen2.5-7B")


def on(scenario: Json, gpu: str) -> Json:
    """The scenario with a card."""
    return {**scenario, "hardware": {"gpu": gpu}}


def capacity(scenario: Json, gpu: str) -> int:
    """Bytes that processes can use of a card."""
    device = device_for(Scenario.read(on(scenario, gpu)).hardware)
    assert device is not None  # every name in CARDS is a size
    return device.capacity


def card(draw: Draw) -> Task:
    case = Case(draw.pick("model", USED), {})
    tokens, precision = 1024, "bf16"
    scenario = case.infer(tokens, precision=precision, new=128)
    sizes = [capacity(scenario, one) for one in CARDS]
    verdicts = [(ask(on(scenario, one)).fit or {})["verdict"] for one in CARDS]
    found = ask(scenario)
    weights, high = found.component_peak["weights"], found.range["device"][1]
    answer = verdicts.index("fits")
    return Task(
        f"{case.name} is to be used in {precision}, with one text of {tokens:,} tokens and 128 new ones. Which is the "
        "smallest card that is sure to do?",
        (("parameters", f"{found.parameters['total']:,}"), ("cache, working memory and libraries", "1 to 2 GiB"),
         *((one.replace("GB", " GB card"), f"{units.binary(size)} to use")
           for one, size in zip(CARDS, sizes, strict=True))),
        Asked("choice", choices=tuple(one.replace("GB", " GB card") for one in CARDS)),
        "Weights first: parameters × 2 bytes. Then a little for everything else.",
        answer,
        answer,
        (
            amount("weights", "parameters × bytes", f"{found.parameters['total']:,} × {BYTES[precision]} B", weights),
            amount("with all else", "weights + cache, working memory, libraries",
                 f"{units.binary(weights)} + {units.binary(high - weights)}", high),
            Step("smallest card", "the first that has as much", f"{units.binary(sizes[answer])} ≥ {units.binary(high)}",
                 CARDS[answer].replace("GB", " GB card"), True),
        ),
        "“Sure to do” means the high end of memcalc’s range.",
        (
            *(Slip(at, f"That has {units.binary(sizes[at])} to use: not enough, or not surely.")
              for at in range(answer)),
            *(Slip(at, "That would do, but a smaller one does too.") for at in range(answer + 1, len(CARDS))),
        ),
        "For using a model on short texts, its weights decide: twice as many gigabytes as it has billions of "
        "parameters.",
        Link("Open it in Fit", "",
             dashboard(case, seq=1024, infer=precision, gpu=CARDS[answer].replace("GB", " GB card"))),
        (scenario,),
    )  # fmt: skip


def most(draw: Draw) -> Task:
    model, tokens = draw.pick("run", TRAINED)
    case, gpu = Case(model, {}), "24GB"
    scenario = on(case.train(tokens, precision="bf16"), gpu)
    high = {one: ask({**scenario, "batch": one}).range["device"][1] for one in (FIRST, SECOND)}
    has = capacity(scenario, gpu)
    slope = (high[SECOND] - high[FIRST]) / (SECOND - FIRST)
    start = high[FIRST] - FIRST * slope
    hand = floor((has - start) / slope)
    found = largest(scenario, "batch", False, check=False)
    answer = found.value
    return Task(
        f"{case.name} is trained in bf16 with AdamW on texts of {tokens:,} tokens. A 24 GB card has "
        f"{exact(has)} to use. {FIRST} texts at once need up to {exact(high[FIRST])}, {SECOND} need up "
        f"to {exact(high[SECOND])}. What is the largest batch that fits?",
        (("the card has", exact(has)), (f"batch {FIRST} needs up to", exact(high[FIRST])),
         (f"batch {SECOND} needs up to", exact(high[SECOND]))),
        Asked("whole", "texts"),
        "How much does one text cost, how much is there whatever the batch? Then divide, and round down.",
        answer,
        hand,
        (
            Step("one text", f"difference ÷ {SECOND - FIRST}",
                 f"({exact(high[SECOND])} − {exact(high[FIRST])}) ÷ {SECOND - FIRST}", exact(slope)),
            Step("fixed part", f"batch {FIRST} − {FIRST} texts",
                 f"{exact(high[FIRST])} − {FIRST} × {exact(slope)}", exact(start)),
            Step("texts", "(card − fixed part) ÷ one text, rounded down",
                 f"({exact(has)} − {exact(start)}) ÷ {exact(slope)}", f"{hand} texts", True),
        ),
        f"memcalc looks at {answer} and at {answer + 1} themselves: the first fits, the second does not.",
        (
            Slip(answer + 1, "One too many: the last one does not fit whole. Round down."),
            Slip(floor(has / slope), "The fixed part is left out: weights, gradients and states are there first."),
            Slip(floor(has / (high[FIRST] / FIRST)), "Twice the batch is not twice the memory: the fixed part is there "
                 "once."),
        ),
        "Two runs tell the largest batch: slope, fixed part, and a division that is rounded down.",
        Link("Open it in Batch", "batch",
             dashboard(case, precision="bf16", seq=tokens, batch=FIRST, gpu="24 GB card")),
        (scenario,),
    )  # fmt: skip


def served(draw: Draw) -> Task:
    case = Case(draw.pick("model", SERVED), {})
    gpu = draw.pick("card", ("24GB", "48GB"))
    scenario = on(case.infer(2048, new=128, runtime="vllm", max_model_len=8192), gpu)
    found: dict[str, Any] = ask(scenario).runtime or {}
    spec = case.spec
    one = 2 * spec.layers * spec.kv_heads * spec.head_dim * 2
    graphs = found["cuda_graphs"] if found.get("cuda_graphs_in_budget") else 0
    taken = found["activation"] + found["non_torch"] + graphs
    left = found["budget"] - found["weights"] - taken
    return Task(
        f"vLLM serves {case.name} in bf16 on a {gpu.replace('GB', ' GB')} card. Of its budget it takes the weights and "
        "what it needs to compute; the rest is cut into pages for the KV cache. How many tokens have room there, all "
        "requests together?",
        (("budget", exact(found["budget"])), ("weights", exact(found["weights"])),
         ("computing, libraries, CUDA graphs", exact(taken)), ("layers", f"{spec.layers}"),
         ("heads for keys and values", f"{spec.kv_heads}"), ("values per head", f"{spec.head_dim}")),
        Asked("number", "tokens"),
        "What is left of the budget, divided by what one token keeps: 2 × layers × heads × values × 2 bytes.",
        found["kv_tokens"],
        left / one,
        (
            Step("left for the cache", "budget − weights − computing",
                 f"{exact(found['budget'])} − {exact(found['weights'])} − {exact(taken)}", exact(left)),
            amount("one token", "2 × layers × heads × values × 2 B",
                 f"2 × {spec.layers} × {spec.kv_heads} × {spec.head_dim} × 2 B", one),
            Step("tokens", "left ÷ one token", f"{exact(left)} ÷ {units.binary(one)}", f"{left / one:,.0f}",
                 True),
        ),
        "vLLM rounds down to whole pages of 16 tokens.",
        (
            Slip(left / one * 2, "Keys and values are both kept, in 2 bytes each."),
            Slip(found["budget"] / one, "Weights and what is needed to compute are left out."),
            Slip((found["budget"] - found["weights"]) / one, "What is needed to compute is left out."),
            Slip(left / one * spec.kv_heads / spec.heads, "All query heads are counted: only "
                 f"{spec.kv_heads} heads keep keys and values."),
            Slip(left / one * spec.layers, "One layer is counted: each has a cache of its own."),
        ),
        "On a server the cache is what is left over; tokens, not requests, are what fits.",
        Link("Open it in Inference", "inference",
             dashboard(case, seq=2048, gpu=gpu.replace("GB", " GB card"), runtime="vllm", longest=8192)),
        (scenario,),
    )  # fmt: skip


ALL: Final = (
    Exercise("card", "The smallest card", "starter", 5, card, ("16 GB card", "inference")),
    Exercise("most", "The largest batch on 24 GB", "practitioner", 3, most, ("micro-batch", "16 GB card")),
    Exercise("served", "Tokens on a server", "engineer", 8, served, ("KV cache", "grouped-query attention")),
)  # fmt: skip
