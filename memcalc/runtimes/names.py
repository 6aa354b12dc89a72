"""A serving runtime's memory by name: weights by what they do, the cache, the buffer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from memcalc.architectures.listing import listing
from memcalc.architectures.program import Program
from memcalc.inference.layout import layout
from memcalc.question import Question
from memcalc.runtimes.llama_cpp import file_of
from memcalc.runtimes.served import Served

Part = tuple[str, str, str, str, int]
"""Name, component, formula, source, bytes."""

WORDS = {
    "token_embd": "token embedding", "output": "output head", "position_embd": "position embedding", "norm": "norms",
    "bias": "biases", "attn_q": "queries", "attn_k": "keys", "attn_v": "values", "attn_qkv": "queries, keys and values",
    "attn_output": "attention's output", "ffn_gate": "feed-forward, gate", "ffn_up": "feed-forward, up",
    "ffn_down": "feed-forward, down", "ffn_gate_inp": "router", "other": "other weights",
}  # fmt: skip


def named_parts(question: Question, program: Program, served: Served) -> Iterator[Part]:
    """The parts; their bytes sum to what the runtime holds in weights, cache and buffer."""
    runtime = str(served.report["name"])
    yield from _weights(question, program, served)
    layers = layout(question.model.spec)
    width = f"{layers[0].heads:,} heads × ({layers[0].keys:,} + {layers[0].values:,}) values"
    yield "KV cache", "kv_cache", f"{len(layers):,} layers × {width} a token", runtime, served.cache
    what = "compute buffer" if runtime in ("llama.cpp", "ollama") else "trial run's peak"
    yield what, "temporary", what, runtime, served.buffer[1]


def _weights(question: Question, program: Program, served: Served) -> Iterator[Part]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    if question.scenario.inference.runtime in ("llama.cpp", "ollama"):
        first = question.model.spec.layers + 1 - int(served.settings["gpu_layers"])
        tied = question.model.spec.tied
        for one in file_of(question).tensors:
            layer, kind = one.weight.layer, one.weight.kind
            host = layer is not None and layer < first
            host |= layer is None and (served.settings["gpu_layers"] == 0 or kind == "position_embd")
            if host or (kind == "token_embd" and not tied):
                continue
            held = sums[kind, one.kind]
            held[0], held[1] = held[0] + one.on_cuda, held[1] + one.weight.count
        for (kind, block), (size, count) in sums.items():
            name = "output head (a copy of the embedding)" if kind == "token_embd" else WORDS[kind]
            yield f"{name} in {block}", "weights", f"{count:,} values in blocks of {block}", "llama.cpp", size
        return
    total = 0
    for weight in listing(program):
        sums[weight.kind, ""][1] += weight.count
        total += weight.count
    left = served.weights
    for (kind, _), (_, count) in sums.items():
        size = served.weights * count // total
        left -= size
        yield WORDS[kind], "weights", f"{count:,} values, their share of all weights", "the runtime", size
    if left:
        yield "rounding", "weights", "what the shares leave", "", left
