"""The arithmetic behind a segment, with its numbers, for the hover and the table.

These sentences only divide what the core computed (bytes by parameters, or by tokens), so they cannot
disagree with it. A quotient that is a whole number is written as such; otherwise as an approximation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc import units
from memcalc.ui.ledger import OVERHEAD_LABELS, Bar, Run


def _per(size: int, number: int, things: str) -> str:
    """``size`` as ``number things × bytes each``."""
    if size <= 0 or number <= 0:
        return ""
    things = things.removesuffix("s") if number == 1 else things
    each = size / number
    whole = abs(each - round(each)) < 0.002 and each >= 0.5
    if whole and each < 10240:
        return f"{number:,} {things} × {round(each):,} B"
    if each < 1024:
        return f"{number:,} {things} × ≈ {each:.2f} B"
    exact = whole and any(round(each) % unit == 0 and each < 1000 * unit for unit in (units.KiB, units.MiB))
    return f"{number:,} {things} × {'' if exact else '≈ '}{units.binary(each)}"


def tokens(scenario: Mapping[str, Any]) -> int:
    """How many tokens are in flight: batch × sequence when training, batch × (prompt + new) otherwise."""
    batch = scenario.get("batch") or 1
    if scenario.get("task") == "train":
        return int(batch) * int(scenario.get("seq_len") or 0)
    inference = scenario.get("inference") or {}
    return int(batch) * (int(inference.get("prompt_tokens") or 0) + max(int(inference.get("new_tokens") or 0) - 1, 0))


def _shared(scenario: Mapping[str, Any]) -> bool:
    """Whether gradients and states are divided between cards: whole gradients then only live for a moment."""
    parallel = scenario.get("parallel") or {}
    return int(parallel.get("data") or 1) > 1 and parallel.get("strategy") != "ddp"


def formula(run: Run, bar: Bar, part: str) -> str:
    """One line that says where a segment comes from; empty when nothing short and true can be said."""
    estimate, size = run.estimate, bar.parts.get(part, 0)
    scenario, parameters = estimate["scenario"], estimate["parameters"]
    full = estimate.get("component_peak", {}).get(part, size) or size
    if bar.weights is not None:
        return _of_pipeline(bar, part)
    served = _served(estimate)
    if served and part in ("kv_cache", "temporary", "overhead"):
        return _of_server(run, served, part, size)
    if part == "weights":
        return _per(size, parameters["total"], "parameters")
    if part in ("gradients", "optimizer") and _shared(scenario):
        return _per(size, parameters["trainable"], "trained parameters")
    if part in ("gradients", "optimizer"):
        line = _per(full, parameters["trainable"], "trained parameters")
        return line if size >= full * 0.999 else f"{size / full:.0%} of {line}" if line else ""
    if part == "kv_cache":
        return _cache(run, bar, size)
    if part == "activations" and scenario.get("task") == "train" and scenario.get("image_size"):
        return _per(size, int(scenario.get("batch") or 1), "pictures")
    if part == "activations" and scenario.get("task") == "train":
        return _per(size, tokens(scenario), "tokens")
    if part == "overhead":
        named = [f"{OVERHEAD_LABELS[name]} {units.binary(value)}" for name, value in run.overhead.items()]
        return " + ".join(named)
    if part == "temporary":
        return "alive for a moment: inputs, logits, loss, working copies"
    return ""


_MOMENTS = {
    "encode": "the widest block of the text encoder",
    "denoise": "latents, and the widest block of the denoiser",
    "decode": "maps of the VAE's decoder where they are largest",
}


def _of_pipeline(bar: Bar, part: str) -> str:
    """An image pipeline: the models whose weights lie on the card in this phase, and what else does."""
    if part == "weights":
        largest = sorted((bar.weights or {}).items(), key=lambda one: -one[1])
        return " + ".join(f"{name} {units.binary(size)}" for name, size in largest)
    if part == "temporary":
        return _MOMENTS.get(bar.phase, "")
    if part == "overhead":
        return " + ".join(f"{OVERHEAD_LABELS[name]} {units.binary(size)}" for name, size in (bar.above or {}).items())
    return ""


def _served(estimate: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a serving runtime says of itself; None for what transformers runs."""
    report = estimate.get("runtime") or {}
    return report if report.get("name") not in ("transformers", "forward", None) else None


def _of_server(run: Run, report: Mapping[str, Any], part: str, size: int) -> str:
    """A server takes its cache and its buffers once."""
    if part == "kv_cache":
        return _per(size, int(report["kv_tokens"]), "tokens of room")
    if part == "temporary":
        return "compute buffer" if "compute_buffer" in report else "what the trial run needs at its highest"
    names = {**OVERHEAD_LABELS, "cache": "CUDA graphs", "context": "CUDA context and libraries"}
    return " + ".join(f"{names[name]} {units.binary(value)}" for name, value in run.overhead.items())


def _two_caches(run: Run, bar: Bar, size: int) -> str:
    """What the encoder said and what the decoder wrote, each as tokens × bytes."""
    report, scenario = run.estimate["runtime"], run.estimate["scenario"]
    batch = int(scenario.get("batch") or 1)
    written = batch * (1 if bar.phase == "prefill" else int(scenario["inference"]["new_tokens"]))
    parts = [
        (batch * report["source_tokens"], "source positions", report["cross_kv_bytes_per_token"]),
        (written, "written", report["self_kv_bytes_per_token"]),
    ]
    line = " + ".join(f"{number:,} {name} × {units.binary(each)}" for number, name, each in parts)
    rest = size - sum(number * each for number, _, each in parts)
    return f"{line} + {units.binary(rest)} copied while it grows" if rest > 0 else line


def _cache(run: Run, bar: Bar, size: int) -> str:
    """The KV cache as tokens × bytes each, by what the prompt alone takes, and what growing it takes besides."""
    scenario = run.estimate["scenario"]
    if "cross_kv_bytes_per_token" in (run.estimate["runtime"] or {}):
        return _two_caches(run, bar, size)
    prompt = int(scenario.get("batch") or 1) * int((scenario.get("inference") or {}).get("prompt_tokens") or 0)
    first = next((other.parts["kv_cache"] for other in run.bars if other.phase == "prefill"), 0)
    if bar.phase == "prefill" or not prompt or first % prompt:
        return _per(size, prompt if bar.phase == "prefill" else tokens(scenario), "tokens")
    rest = size - tokens(scenario) * (first // prompt)
    line = _per(size - rest, tokens(scenario), "tokens")
    return f"{line} + {units.binary(rest)} copied while it grows" if rest > 0 else line
