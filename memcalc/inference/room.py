"""How much context and how many sequences a card has room for, format by format: what people plan with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memcalc.architectures.seq2seq import Seq2SeqSpec
from memcalc.errors import MemcalcError
from memcalc.estimate import lay
from memcalc.inference.layout import layout, values_per_sequence
from memcalc.question import Question
from memcalc.scenario import Scenario
from memcalc.shared import Shared


@dataclass(frozen=True, slots=True)
class Row:
    """One format of the weights: their bytes on the card, the peak, the verdict and its headroom, and about how many
    tokens a sequence could have (None: not even one). ``aside``: what else there is to say."""

    weights: str
    size: int
    device: int
    verdict: str
    headroom: int
    tokens: int | None
    aside: str = ""


def by_format(scenario: Mapping[str, Any], formats: Sequence[str], shared: Shared | None = None) -> list[Row]:
    """``scenario`` with each of ``formats`` as weights, on its card; what cannot be is left out.

    The context is found along a straight line through two estimates, of the scenario and of one with twice the prompt:
    memory grows evenly with length unless an attention kernel keeps the scores. Servers say it themselves.
    """
    base, shared = Scenario.read(scenario), shared or Shared()
    found = []
    for name in formats:
        try:
            found.append(_row(replace(base, inference=replace(base.inference, weights=name)), name, shared))
        except MemcalcError:
            continue
    return found


def _row(scenario: Scenario, name: str, shared: Shared) -> Row:
    laid = lay(scenario, False, shared)
    if laid.device is None:
        raise MemcalcError("no card is named", "hardware.gpu")
    room = laid.device.capacity - scenario.hardware.reserve
    low, point, high = laid.above.device
    verdict = "fits" if high <= room else "does not fit" if low > room else "tight"
    weights = laid.stages[0].base["weights"]
    if laid.served is not None:
        limit = min(room, laid.served.limit or room)
        needed = laid.served.needed
        spare = limit - needed[2]
        report = laid.served.report
        per_token = max(1, round(float(report["kv_bytes_per_token"])))
        tokens = (laid.served.needed_cache + spare) // (per_token * scenario.batch)
        aside = ""
        if report.get("gpu_layers", 0) < report.get("layers", 0):
            aside = f"{report['gpu_layers']} of {report['layers']} layers"
        return Row(name, weights, point, verdict, limit - needed[1], _positions(laid.question, tokens), aside)
    inference = laid.question.scenario.inference
    prompt = inference.prompt_tokens or 1
    twice = replace(scenario, inference=replace(inference, prompt_tokens=prompt * 2))
    more = lay(twice, False, shared).above.device[2] - high
    tokens = prompt + (room - high) * prompt // more if more > 0 else 0
    return Row(name, weights, point, verdict, room - point, _positions(laid.question, tokens))


def _positions(question: Question, tokens: int) -> int | None:
    """As far as the model's positions go; None where nothing is left."""
    most = question.model.spec.max_positions
    return min(tokens, most) if tokens > 0 else None


MOST_SEQUENCES = 4096
"""How many sequences the second curve reaches at most, unless more are asked for."""


@dataclass(frozen=True, slots=True)
class Curves:
    """The cache in bytes, along the context for the sequences asked for and along the sequences for the context asked
    for; and the room that the card has for it (None without a card). ``context``, ``sequences``: what was asked for.
    ``source``: positions of an encoder, whose part does not grow; lengths are then what the decoder writes."""

    lengths: tuple[int, ...]
    by_length: tuple[int, ...]
    counts: tuple[int, ...]
    by_count: tuple[int, ...]
    room: int | None
    context: int
    sequences: int
    source: int = 0


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes of cache of one sequence by its tokens; the tokens asked for, and as many as the curve shows."""

    of: Callable[[int], float]
    context: int
    longest: int
    source: int = 0


def _growth(question: Question, answer: Mapping[str, Any]) -> Growth | None:
    """How a sequence's cache grows; None where there is none."""
    report, spec = answer["runtime"] or {}, question.model.spec
    inference = question.scenario.inference
    if isinstance(spec, Seq2SeqSpec):
        if "cross_kv_bytes_per_token" not in report:
            return None
        own, source = report["self_kv_bytes_per_token"], report["source_tokens"]
        fixed, written = report["cross_kv_bytes_per_token"] * source, inference.new_tokens
        longest = max(written, min(spec.max_targets, 8 * written))
        return Growth(lambda tokens: fixed + own * tokens, written, longest, source)
    each, states = report.get("kv_bytes_per_token") or 0, int(report.get("state_bytes_per_sequence") or 0)
    layers = layout(spec)
    values = sum(one.per_token for one in layers)
    if not states and not (each and values):
        return None
    size = float(each) / values if values else 0.0
    context = (inference.prompt_tokens or 1) + inference.new_tokens
    if report.get("n_ctx"):
        context = int(report["n_ctx"]) // int(answer["scenario"]["inference"]["parallel"])
    longest = max(context, spec.max_positions if question.model.method != "generic" else 8 * context)
    return Growth(lambda tokens: values_per_sequence(layers, tokens) * size + states, context, longest)


def curves(scenario: Mapping[str, Any], answer: Mapping[str, Any], points: int = 40) -> Curves | None:
    """How the cache grows; None where there is none. ``answer``: the scenario's estimate, as its JSON object."""
    report = answer["runtime"] or {}
    question = Question.read(scenario, allow_files=False)
    growth = _growth(question, answer)
    if growth is None:
        return None
    context, longest, batch = growth.context, growth.longest, question.scenario.batch
    lengths = tuple(sorted({max(1, longest * i // points) for i in range(1, points + 1)} | {context}))

    def bytes_of(tokens: int, sequences: int) -> int:
        return round(growth.of(tokens) * sequences)

    room, fit = None, answer["fit"]
    if fit is not None:
        # What the cache may take is what it needs now and what is surely left above that.
        left = fit["headroom"] + answer["peak"]["device"] - answer["range"]["device"][1]
        if "needed_kv_cache" in report:
            left = fit["headroom"]
        room = max(0, report.get("needed_kv_cache", answer["component_peak"]["kv_cache"]) + left)
    reach = 0 if room is None else 13 * room // (10 * max(1, bytes_of(context, 1)))
    most = max(16, 4 * batch, min(reach, MOST_SEQUENCES))
    counts = tuple(sorted({max(1, most * i // points) for i in range(1, points + 1)} | {1, batch}))
    return Curves(
        lengths,
        tuple(bytes_of(one, batch) for one in lengths),
        counts,
        tuple(bytes_of(context, one) for one in counts),
        room,
        context,
        batch,
        growth.source,
    )
