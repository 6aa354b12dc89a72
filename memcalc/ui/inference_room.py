"""What the KV cache costs, and how much more would fit. No Streamlit in here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import memcalc
from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.ui import own_models
from memcalc.ui.form import Json, get
from memcalc.ui.ledger import Run

#: Points of one look; each look narrows the last gap to one of them.
POINTS = 12
MOST = {"batch": 65_536, "prompt_tokens": 2**21}
UNITS = {"batch": "sequences", "prompt_tokens": "prompt tokens"}


@dataclass(frozen=True)
class Cache:
    """The cache's cost in bytes: one more token, a whole sequence at its end, everything."""

    token: float
    even: bool  # every token costs the same (no sliding window)
    sequence: float
    tokens: int  # in a sequence at its end
    total: int


def two_caches(run: Run) -> list[tuple[str, str, str]]:
    """What a decoder beside an encoder keeps, as figures: of what it wrote, and of what the encoder said."""
    report, scenario = run.estimate["runtime"] or {}, run.estimate["scenario"]
    if "cross_kv_bytes_per_token" not in report:
        return []
    own, cross = report["self_kv_bytes_per_token"], report["cross_kv_bytes_per_token"]
    written, source = int(scenario["inference"]["new_tokens"]), report["source_tokens"]
    return [
        ("Self cache per token", units.binary(own), "of each sequence, for a token written"),
        ("Cross cache per token", units.binary(cross), "of each sequence, for a position of the encoder"),
        ("Self cache per sequence", units.binary(own * written), f"at its {written:,} tokens written"),
        ("Cross cache per sequence", units.binary(cross * source), f"of {source:,} positions of the encoder"),
    ]


def cache(run: Run) -> Cache | None:
    """What the cache costs in this run; None where there is none."""
    scenario = run.estimate["scenario"]
    settings = scenario.get("inference") or {}
    prompt, batch = int(settings.get("prompt_tokens") or 0), int(scenario.get("batch") or 1)
    first = next((bar.parts["kv_cache"] for bar in run.bars if bar.phase == "prefill"), 0)
    if not first or not prompt:
        return None
    tokens = prompt + int(settings.get("new_tokens") or 1) - 1
    each = first / (prompt * batch)
    even = each == int(each)
    total = run.estimate["component_peak"]["kv_cache"]
    report = run.estimate["runtime"] or {}
    if "state_bytes_per_sequence" in report:
        return Cache(report["kv_bytes_per_token"], True, report["kv_bytes_per_sequence"], tokens, total)
    return Cache(each, even, each * tokens if even else total / batch, tokens, total)


@lru_cache(maxsize=512)
def _reach(asked: str, axis: str) -> int:
    """How far the core follows ``axis`` at all: to MOST, or to the end of the model's positions; 0: nowhere."""

    def taken(number: int) -> bool:
        try:
            memcalc.sweep(json.loads(asked), False, None, **{axis: [number]})
        except MemcalcError:
            return False
        return True

    low, high = 0, MOST[axis]
    if taken(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return low


@lru_cache(maxsize=512)
def _most(asked: str, axis: str, limit: int) -> int:
    """The largest value of ``axis`` at which the high end of the range stays within ``limit`` bytes; 0: none.

    Memory grows with batch and with length, so looks at a dozen points at a time close in on the place.
    """
    scenario, ceiling = json.loads(asked), _reach(asked, axis)
    low, high = 0, ceiling + 1  # low fits (or is none), high does not (or is out of reach)
    step = float(high) ** (1 / POINTS)
    points = sorted({min(ceiling, max(1, round(step**power))) for power in range(POINTS + 1)}) if ceiling else []
    while points:
        found = memcalc.sweep(scenario, False, None, **{axis: points})
        fits = [one for one, size in zip(points, found.device_high.tolist(), strict=True) if size <= limit]
        low = max([low, *fits])
        high = min([high, *(one for one in points if one > low)])
        points = sorted({low + (high - low) * part // (POINTS + 1) for part in range(1, POINTS + 1)} - {low, high})
    return low


def _asked(scenario: Json) -> str:
    """The question without a GPU of this machine: its free memory changes by the second and is in the limit."""
    live = str(get(scenario, "hardware.gpu") or "").startswith("live:")
    return json.dumps({key: one for key, one in scenario.items() if key != "hardware" or not live}, sort_keys=True)


def most(scenario: Json, run: Run, axis: str) -> int | None:
    """How much of ``axis`` fits on the run's card with all else as it is; None without a card or an answer."""
    fit = run.estimate.get("fit")
    if not fit:
        return None
    limit = fit["capacity"] - int(get(scenario, "hardware.reserve") or 0)
    try:
        return _most(_asked(scenario), axis, limit)
    except MemcalcError:
        return None


def _units(scenario: Json) -> dict[str, str]:
    """What can be counted up, by the name of its axis."""
    model = scenario.get("model")
    if own_models.sees(model):
        return {"batch": "pictures"}
    if own_models.positions(model):
        return {"batch": UNITS["batch"]}
    return {**UNITS, "prompt_tokens": "source tokens"} if own_models.two_sided(model) else UNITS


def room(scenario: Json, run: Run) -> list[tuple[str, str, str]]:
    """How much fits: (what, the figure, compared with now), for sequences and for prompt tokens."""
    found = []
    now = {"batch": int(run.estimate["scenario"].get("batch") or 1),
           "prompt_tokens": int(get(run.estimate["scenario"], "inference.prompt_tokens") or 0)}  # fmt: skip
    for axis, unit in _units(scenario).items():
        largest = most(scenario, run, axis)
        if largest is None:
            continue
        more = largest - now[axis]
        compared = f"{more:,} more than now" if more > 0 else f"{-more:,} fewer than now" if more < 0 else "as now"
        if not largest:
            compared = "not even one, all else as it is"
        end = 0 < largest == _reach(_asked(scenario), axis)
        if end and largest < MOST[axis]:
            compared = "the model has no more positions"
        figure = f"≥ {largest:,}" if end and largest == MOST[axis] else f"{largest:,}"
        found.append((f"{unit.capitalize()} that fit", figure, compared))
    return found


def _served(report: Json, run: Run) -> list[tuple[str, str, str]]:
    """What a serving runtime says of itself."""
    asked = run.estimate["scenario"]["inference"]
    tokens = int(asked["prompt_tokens"] or 0) + int(asked["new_tokens"])
    listed = [
        ("Cache per token", units.binary(report["kv_bytes_per_token"]), "of each sequence"),
        ("Cache per sequence", units.binary(report["kv_bytes_per_sequence"]), f"at {tokens:,} tokens"),
        ("Tokens in the cache", f"{report['kv_tokens']:,}", units.binary(run.estimate["component_peak"]["kv_cache"])),
    ]
    if "sequences" in report:
        listed.append(("Users that fit", f"{report['sequences']:,}", f"with {tokens:,} tokens each"))
        longest = report["max_model_len"]
        listed.append(("Longest requests that fit", f"{report['max_concurrency']:,.2f}", f"of {longest:,} tokens"))
        return listed
    users = int(report["n_ctx"]) // tokens
    listed.append(("Users that fit", f"{users:,}", f"with {tokens:,} tokens each"))
    listed.append(("Layers on the card", f"{report['gpu_layers']} of {report['layers']}", "the output counts as one"))
    listed.append(("File", units.binary(report["file_bytes"]), f"{report['bits_per_weight']:.2f} bits a weight"))
    return listed


def facts(scenario: Json, run: Run) -> str:
    """The cache and the room as a row of figures, in HTML."""
    report = run.estimate.get("runtime") or {}
    served = report.get("name") not in ("transformers", "forward", None)
    held = cache(run)
    listed: list[tuple[str, str, str]] = []
    if served:
        listed += _served(report, run)
    elif two_caches(run):
        listed += two_caches(run)
    elif held:
        listed.append(("Cache per token", units.binary(held.token), "of each sequence" if held.even else "on average"))
        listed.append(("Cache per sequence", units.binary(held.sequence), f"at its {held.tokens:,} tokens"))
        if "state_bytes_per_sequence" in report:
            states = units.binary(report["state_bytes_per_sequence"])
            listed.append(("States per sequence", states, "of the cache, whatever the length"))
    listed += [] if served else room(scenario, run)
    cards = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(figure)}<small>{escape(more)}</small></dd></div>"
        for what, figure, more in listed
    )
    return f'<dl class="mc-facts">{cards}</dl>' if listed else ""
