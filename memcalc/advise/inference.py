"""The changes that an inference scenario offers. What the core does not understand is not among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from memcalc import checkpoint
from memcalc.advise import costs
from memcalc.advise.changes import Change, Cost, Now, set_to
from memcalc.scenario.choices import accepted, known_values

Maker = Callable[[Now], Iterator[Change]]

_WEIGHTS = (
    "int8", "fp8", "gptq-8bit-g128", "nf4-dq", "nf4", "fp4", "gptq-4bit-g128", "awq-4bit-g128", "hqq-4bit-g64", "mxfp4",
    "nvfp4",
)  # fmt: skip
_GGUF = ("gguf:Q8_0", "gguf:Q6_K", "gguf:Q5_K_M", "gguf:Q4_K_M", "gguf:Q3_K_M", "gguf:Q2_K")
"""The usual rungs; a core that knows more formats offers them on the page Inference."""


def bits(name: str) -> int:
    """The whole bits a weight of a format's name: ``bits("gguf:Q4_K_M") == 4``, ``bits("int8") == 8``."""
    found = re.search(r"[Qq](\d)_|(\d+)bit|(\d+)(?:\.\d+)?bpw|(?:int|nf|fp|mxfp|nvfp|float)(\d+)", name)
    return int(next(one for one in found.groups() if one)) if found else 16


def _weight_cost(name: str) -> Cost:
    return {8: costs.WEIGHTS_8, 6: costs.WEIGHTS_6, 5: costs.WEIGHTS_5, 4: costs.WEIGHTS_4}.get(
        bits(name), costs.WEIGHTS_3
    )


def _formats(now: Now) -> Iterator[Change]:
    """Weights and cache in fewer bits."""
    if now.get("precision") == "fp32":
        yield set_to("precision-bf16", "weights", "Weights in bf16", costs.WEIGHTS_16, precision="bf16")
    current = str(now.get("inference.weights") or "same")
    usual = _GGUF if now.get("inference.runtime") == "llama.cpp" else _WEIGHTS
    stored = checkpoint.of(now.get("model"))
    if current == "same" and stored is not None and stored.weights:
        current = stored.weights
    held = bits(current) if current != "same" else 16
    for name in usual:
        if accepted("inference.weights", name) and bits(name) < held:
            yield set_to(f"weights-{name}", "weights", f"Weights in {name.removeprefix('gguf:')}", _weight_cost(name),
                         inference__weights=name)  # fmt: skip
    cache = str(now.get("inference.kv_cache") or "same")
    for name in known_values("inference.kv_cache"):
        if name not in ("same", cache) and bits(name) < (16 if cache == "same" else bits(cache)):
            cost = costs.CACHE_8 if bits(name) == 8 else costs.CACHE_4
            yield set_to(f"cache-{name}", "cache", f"KV cache in {name}", cost, inference__kv_cache=name)


def _free(now: Now) -> Iterator[Change]:
    """What costs nothing, or a flag."""
    if now.get("attention") in ("eager", "math"):
        yield set_to("sdpa", "attention", "Flash attention (sdpa)", costs.FLASH, attention="sdpa")
    if now.get("inference.flash_attention") is False and accepted("inference.flash_attention", True):
        yield set_to("flash", "attention", "Flash attention", costs.FLASH, inference__flash_attention=True)
    if now.get("inference.logits") == "all" and now.get("inference.runtime") != "forward":
        yield set_to("logits", "logits", "Logits of the last token only", costs.LAST_LOGITS, inference__logits="last")
    if now.get("attention_mask") == "padded":
        yield set_to("no-padding", "mask", "No padding", costs.NO_PADDING, attention_mask="none")
    if not now.get("expandable_segments") and accepted("expandable_segments", True):
        yield set_to("expandable", "allocator", "Expandable segments", costs.EXPANDABLE, expandable_segments=True)


_HALVES = (
    ("batch", "at-once", "{} sequences at once", costs.FEWER_AT_ONCE, 2),
    ("inference.max_num_seqs", "at-once", "{} sequences at once", costs.FEWER_AT_ONCE, 2),
    ("inference.prompt_tokens", "context", "Prompts of {} tokens", costs.SHORTER_CONTEXT, 256),
    ("inference.max_model_len", "context", "Context of {} tokens", costs.SHORTER_CONTEXT, 256),
    ("inference.n_ctx", "context", "Context of {} tokens", costs.SHORTER_CONTEXT, 256),
    ("inference.new_tokens", "new", "At most {} new tokens", costs.FEWER_NEW, 256),
    ("inference.gpu_layers", "layers", "{} layers on the GPU", costs.FEWER_LAYERS, 2),
    ("inference.n_ubatch", "ubatch", "Prompts read {} tokens at a time", costs.SMALLER_UBATCH, 64),
)


def _less(now: Now) -> Iterator[Change]:
    """Half as much of everything that can be halved."""
    for path, group, title, cost, least in _HALVES:
        value = now.get(path)
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            yield Change(f"half-{path}", group, title.format(f"{value // 2:,}"), ((path, value // 2),), cost)
    if int(now.get("inference.beams") or 1) > 1:
        yield set_to("one-beam", "beams", "One beam", costs.ONE_BEAM, inference__beams=1)


MAKERS: tuple[Maker, ...] = (_free, _formats, _less)
