"""vLLM: a budget, from which weights, a measured trial run and libraries are taken; what is left becomes cache pages.

KV cache = ⌈total × gpu_memory_utilization⌉ − weights − activation peak − memory outside torch (− CUDA graphs, since
0.21) [vllm v1/worker/gpu_worker.py: determine_available_memory; utils/mem_utils.py]. Before 0.21 graphs are captured on
top of the budget.
"""

from __future__ import annotations

import math
import re

from memcalc.hardware.fit import Device
from memcalc.inference.cache_formats import plain
from memcalc.inference.layout import layout, values_per_token
from memcalc.overhead import context_bytes
from memcalc.question import Question
from memcalc.runtimes.pages import Paged, paged
from memcalc.runtimes.profile import activation
from memcalc.runtimes.served import Served, Term, exact, plus, torch_total
from memcalc.runtimes.weights import loaded_bytes
from memcalc.units import GiB, MiB, binary

NEWEST = "0.33"
"""The version that is meant where none is named."""
PAGE = 16
"""Tokens of a page [config/cache.py: block_size]."""
CHUNKS = (0, 14)
"""From this version on chunked layers (Llama 4) free the pages of the chunks behind them; before, only with an
environment variable [vllm envs.py: VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE; the version is assumed]."""
NON_TORCH: Term = (round(0.01 * GiB), round(0.15 * GiB), round(0.8 * GiB))
"""Bytes that the trial run leaves outside torch's allocator: 0.01 to 0.3 GiB in published logs from 0.7 on (1.79 in one
of 2024)."""
GRAPH = (0.2, 0.63, 1.2)
"""MiB of a captured CUDA graph for each layer: published captures give 0.18 (T4), 0.60 to 0.67 (A100, 4090) and 1.17
(four 4090 with custom all-reduce)."""
DATACENTER = 70 * GiB
"""Cards from this size on (A100 excepted) get larger batches by default [engine/arg_utils.py]."""


def plan(question: Question, device: Device | None) -> Served:
    """vLLM's memory for a scenario on ``device``."""
    spec, inference = question.model.spec, question.scenario.inference
    given = inference.server
    version = str(given.get("version") or NEWEST)
    number = _number(version)
    size = question.precision.weights.size
    length = (inference.prompt_tokens or 1) + inference.new_tokens
    longest = int(given.get("max_model_len") or (length if question.model.method == "generic" else spec.max_positions))
    sequences = int(given.get("max_num_seqs") or _sequences(number, device))
    tokens = int(given.get("max_num_batched_tokens") or _batched(number, device, longest))
    eager = bool(given.get("enforce_eager"))
    utilization = float(given.get("gpu_memory_utilization") or (0.92 if number >= (0, 21) else 0.9))
    layers = layout(spec)
    per_value = plain(size, inference.kv_cache)
    pages = paged(layers, per_value, PAGE, hybrid=number >= (CHUNKS if spec.chunked else (0, 10)))
    weights = loaded_bytes(question)
    profiled = _given(given.get("activation_bytes")) or activation(spec, tokens, sequences, size, question.whole.vocab)
    outside = _given(given.get("non_torch_bytes")) or NON_TORCH
    graphs = _graphs(spec.layers, number, sequences, eager)
    inside = graphs if number >= (0, 21) else exact(0)
    asked = question.scenario.batch * pages.blocks(length, tokens)
    needed = max(asked, pages.blocks(longest, tokens)) * pages.block
    budget = None if device is None else math.ceil(torch_total(device) * utilization)
    left = needed if budget is None else budget - weights - profiled[1] - outside[1] - inside[1]
    blocks = max(0, left // pages.block)
    context = exact(0) if device is None else context_bytes(device.capability)
    above = context if number >= (0, 21) else plus(context, graphs)
    report = {
        "name": "vllm",
        "version": version,
        "budget": budget,
        "weights": weights,
        "activation": profiled[1],
        "non_torch": outside[1],
        "cuda_graphs": graphs[1],
        "cuda_graphs_in_budget": number >= (0, 21),
        "available_kv_cache": max(0, left),
        **cache_report(pages, blocks, longest, tokens, values_per_token(layers) * float(per_value), length),
        "needed_kv_cache": needed,
    }
    report["log"] = _log(report, number)
    return Served(
        weights=weights,
        cache=blocks * pages.block,
        needed_cache=needed,
        buffer=profiled,
        beside=graphs,
        outside=plus(outside, context),
        limit=budget,
        report=report,
        settings={
            "version": version, "max_model_len": longest, "max_num_seqs": sequences, "max_num_batched_tokens": tokens,
            "gpu_memory_utilization": utilization, "enforce_eager": eager,
            **{name: given[name] for name in ("activation_bytes", "non_torch_bytes") if name in given},
        },
        assumptions=tuple(_notes(question, report, number, utilization, device)),
        filled=None if budget is None or blocks == 0 else plus(exact(budget), above),
        uncounted=above,
    )  # fmt: skip


def cache_report(
    pages: Paged, blocks: int, longest: int, in_flight: int, per_token: float, length: int
) -> dict[str, object]:
    """What a server with pages says of its cache."""
    each = pages.blocks(longest, in_flight)
    groups = len(pages.groups)
    tokens = blocks // groups * pages.page
    return {
        "block_size": pages.page,
        "block_bytes": pages.block,
        "num_blocks": blocks,
        "kv_cache": blocks * pages.block,
        "kv_tokens": tokens,
        "max_model_len": longest,
        "max_concurrency": round(blocks / each, 2) if each else 0.0,
        "kv_bytes_per_token": round(per_token),
        "kv_bytes_per_sequence": pages.blocks(length, in_flight) * pages.block,
        "sequences": blocks // max(1, pages.blocks(length, in_flight)),
    }


def _number(version: str) -> tuple[int, int]:
    """(major, minor) of a version.

    >>> _number("v0.8.5.post1")
    (0, 8)
    """
    found = re.findall(r"\d+", version)
    return int(found[0]), int(found[1]) if len(found) > 1 else 0


def _given(size: object) -> Term | None:
    return exact(int(size)) if isinstance(size, int) else None


def _large(device: Device | None) -> bool:
    return device is not None and torch_total(device) >= DATACENTER and "A100" not in device.name


def _sequences(number: tuple[int, int], device: Device | None) -> int:
    return 1024 if number >= (0, 10) and _large(device) else 256


def _batched(number: tuple[int, int], device: Device | None, longest: int) -> int:
    """Tokens of a batch by default. The old engine ran a whole prompt at once up to 32,768 tokens."""
    if number < (0, 8):
        return 2048 if longest > 32768 else max(longest, 2048)
    if device is not None and torch_total(device) >= 160 * GiB:
        return 16384
    return 8192 if _large(device) else 2048


def _graphs(layers: int, number: tuple[int, int], sequences: int, eager: bool) -> Term:
    """CUDA graphs: one for each batch size, 1, 2, 4 and multiples of 8 (from 256 on of 16) up to the sequences (at most
    512) [config/compilation.py]."""
    if eager:
        return exact(0)
    top = min(sequences if number < (0, 10) else 2 * sequences, 512)
    sizes = 3 + min(top, 256) // 8 + max(0, top - 256) // 16
    return tuple(round(sizes * layers * one * MiB) for one in GRAPH)  # type: ignore[return-value]


def _log(report: dict[str, object], number: tuple[int, int]) -> list[str]:
    """The lines that vLLM would print."""
    available, tokens = int(report["available_kv_cache"]), report["kv_tokens"]  # type: ignore[call-overload]
    longest, concurrency = report["max_model_len"], report["max_concurrency"]
    if number < (0, 8):
        return [
            f"model weights take {_gib(report['weights'])}; non_torch_memory takes {_gib(report['non_torch'])}; "
            f"PyTorch activation peak memory takes {_gib(report['activation'])}; the rest of the memory reserved for "
            f"KV Cache is {_gib(available)}.",
            f"# cuda blocks: {report['num_blocks']}, # CPU blocks: {4 * GiB // int(str(report['block_bytes']))}",
            f"Maximum concurrency for {longest} tokens per request: {concurrency:.2f}x",
        ]
    return [
        f"Available KV cache memory: {available / GiB:.2f} GiB",
        f"GPU KV cache size: {tokens:,} tokens",
        f"Maximum concurrency for {longest:,} tokens per request: {concurrency:.2f}x",
    ]


def _gib(size: object) -> str:
    return f"{int(str(size)) / GiB:.2f}GiB"


def _notes(
    question: Question, report: dict[str, object], number: tuple[int, int], utilization: float, device: Device | None
) -> list[str]:
    given = question.scenario.inference.server
    notes = []
    if device is None:
        notes.append("no card is named: the cache is what the sequences asked for need, not what would be left")
    else:
        notes.append(
            f"vLLM may use {utilization:g} of the card, {binary(int(str(report['budget'])))}; weights, the trial run's "
            "peak and libraries come off it, the rest becomes cache. The verdict is against this budget"
        )
    if "activation_bytes" not in given:
        notes.append(f"activation peak of the trial run: estimated, {binary(int(str(report['activation'])))}")
    if "non_torch_bytes" not in given:
        notes.append("memory outside torch: 0.15 GiB assumed, 0.01 to 0.8 in published logs")
    if number < (0, 21):
        notes.append("CUDA graphs are captured on top of the budget in this version")
    if question.model.spec.chunked:
        notes.append(
            "chunked layers keep their chunk only: this is vLLM's default from about 0.14 on"
            if number >= CHUNKS
            else "chunked layers keep every token: VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE=1 changes that"
        )
    if question.scenario.inference.kv_cache in ("int8", "int4"):
        notes.append("scales of a quantised cache (one a token and head) are not counted")
    return notes
