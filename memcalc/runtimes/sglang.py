"""SGLang: a share of the card for weights and cache together, the rest for everything else.

mem_fraction_static, unless given, is (memory − reserve) / memory with a reserve in MiB of 512, 1.5 a token of a prefill
chunk, and 2 for each sequence of the largest decode graph plus 8 for each prefill graph; cards above 60 GiB keep at
least 10 GiB [sglang 0.5.23 srt/arg_groups/memory_hook.py]. The cache is what is free after loading minus (1 − fraction)
of the total [mem_cache/kv_cache_configurator.py]. Little of this could be checked: the range is wide.
"""

from __future__ import annotations

from memcalc.hardware.fit import Device
from memcalc.inference.cache_formats import plain
from memcalc.inference.layout import layout, values_per_token
from memcalc.overhead import context_bytes
from memcalc.question import Question
from memcalc.runtimes.pages import paged
from memcalc.runtimes.served import Served, Term, exact, torch_total
from memcalc.runtimes.vllm import cache_report
from memcalc.runtimes.weights import loaded_bytes
from memcalc.units import GiB, MiB

CHUNKS = ((20, 2048, 8), (35, 4096, 48), (60, 4096, 32), (160, 8192, 256), (1 << 20, 16384, 512))
"""Below so many GiB: (tokens of a prefill chunk, largest decode batch in a graph) [memory_hook.py]."""
PREFILL_GRAPHS = 12
"""Prefill graphs that are captured (assumed)."""


def plan(question: Question, device: Device | None) -> Served:
    """SGLang's memory for a scenario on ``device``."""
    spec, inference = question.model.spec, question.scenario.inference
    given = inference.server
    size = question.precision.weights.size
    length = (inference.prompt_tokens or 1) + inference.new_tokens
    longest = int(given.get("max_model_len") or (length if question.model.method == "generic" else spec.max_positions))
    layers = layout(spec)
    per_value = plain(size, inference.kv_cache)
    pages = paged(layers, per_value, 1, hybrid=False)
    weights = loaded_bytes(question)
    total = None if device is None else torch_total(device)
    _, chunk, graphs = next(row for row in CHUNKS if (total or 24 * GiB) < row[0] * GiB)
    chunk = int(given.get("chunked_prefill_size") or chunk)
    reserve = round((512 + 1.5 * max(chunk, 2048) + 2 * graphs + 8 * PREFILL_GRAPHS) * MiB)
    if total is not None and total > 60 * GiB:
        reserve = max(reserve, 10 * GiB)
    fraction = given.get("mem_fraction_static")
    if fraction is None and total is not None:
        fraction = round((total - reserve) / total, 3)
    needed = question.scenario.batch * pages.blocks(length, chunk) * pages.block
    context = context_bytes(device.capability) if device else exact(0)
    left = needed if total is None else round(total * float(fraction or 0)) - weights - context[1]
    blocks = max(0, left // pages.block)
    work: Term = (round(reserve * 0.3), round(reserve * 0.6), round(reserve * 0.85))
    report = {
        "name": "sglang",
        "mem_fraction_static": fraction,
        "weights": weights,
        **cache_report(pages, blocks, longest, chunk, values_per_token(layers) * float(per_value), length),
        "needed_kv_cache": needed,
        "log": [f"KV Cache is allocated. #tokens: {blocks}, K size: {blocks * pages.block / 2 / GiB:.2f} GB, "
                f"V size: {blocks * pages.block / 2 / GiB:.2f} GB"],
    }  # fmt: skip
    return Served(
        weights=weights,
        cache=blocks * pages.block,
        needed_cache=needed,
        buffer=work,
        beside=exact(0),
        outside=context,
        limit=total,
        report=report,
        settings={"mem_fraction_static": fraction, "chunked_prefill_size": chunk, "max_model_len": longest},
        assumptions=(
            "SGLang: working memory is taken as 60 % (30 to 85) of what its own rule sets aside; nothing of it "
            "could be checked against a card",
        ),
    )
