"""TensorRT-LLM: the cache takes a share of what is still free once weights and the engine's activations are allocated.

free_gpu_memory_fraction 0.9 of the free memory, pages of 32 tokens [TensorRT-LLM reference pages of KvCacheConfig].
Activations are fixed when the engine is built, for its largest shapes. Nothing could be checked: the range is wide.
"""

from __future__ import annotations

from memcalc.hardware.fit import Device
from memcalc.inference.cache_formats import plain
from memcalc.inference.layout import layout, values_per_token
from memcalc.overhead import context_bytes
from memcalc.question import Question
from memcalc.runtimes.pages import paged
from memcalc.runtimes.profile import activation
from memcalc.runtimes.served import Served, exact, plus, torch_total
from memcalc.runtimes.vllm import cache_report
from memcalc.runtimes.weights import loaded_bytes
from memcalc.units import MiB

PAGE = 32
"""Tokens of a page [KvCacheConfig: tokens_per_block]."""
BATCHED = 8192
"""Tokens of a batch that an engine is built for by default [trtllm-build --max_num_tokens]."""
SEQUENCES = 256
"""Sequences an engine is built for where nothing is said (assumed; the build's own default is 2048)."""


def plan(question: Question, device: Device | None) -> Served:
    """TensorRT-LLM's memory for a scenario on ``device``."""
    spec, inference = question.model.spec, question.scenario.inference
    given = inference.server
    size = question.precision.weights.size
    length = (inference.prompt_tokens or 1) + inference.new_tokens
    longest = int(given.get("max_model_len") or (length if question.model.method == "generic" else spec.max_positions))
    tokens = int(given.get("max_num_batched_tokens") or BATCHED)
    sequences = int(given.get("max_num_seqs") or SEQUENCES)
    fraction = float(given.get("free_gpu_memory_fraction") or 0.9)
    layers = layout(spec)
    per_value = plain(size, inference.kv_cache)
    pages = paged(layers, per_value, PAGE, hybrid=True)
    weights = loaded_bytes(question)
    work = activation(spec, tokens, sequences, size, question.whole.vocab)
    outside = plus(context_bytes(device.capability) if device else exact(0), (100 * MiB, 300 * MiB, 1024 * MiB))
    needed = question.scenario.batch * pages.blocks(length, tokens) * pages.block
    total = None if device is None else torch_total(device)
    left = needed if total is None else round((total - weights - work[1] - outside[1]) * fraction)
    blocks = max(0, left // pages.block)
    report = {
        "name": "tensorrt-llm",
        "free_gpu_memory_fraction": fraction,
        "weights": weights,
        "activation": work[1],
        **cache_report(pages, blocks, longest, tokens, values_per_token(layers) * float(per_value), length),
        "needed_kv_cache": needed,
    }
    return Served(
        weights=weights,
        cache=blocks * pages.block,
        needed_cache=needed,
        buffer=work,
        beside=exact(0),
        outside=outside,
        limit=total,
        report=report,
        settings={
            "free_gpu_memory_fraction": fraction, "max_num_batched_tokens": tokens, "max_num_seqs": sequences,
            "max_model_len": longest,
        },
        assumptions=(
            f"TensorRT-LLM: an engine for {tokens:,} tokens and {sequences:,} sequences at once; its activations are "
            "estimated, to half as much either way; nothing of it could be checked against a card",
        ),
    )  # fmt: skip
