"""A trace as the contract's Estimate: the same JSON as the symbolic model's, with ``"method": "traced"``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memcalc.allocator.replay import Replay, replay
from memcalc.allocator.workspaces import with_workspaces
from memcalc.components import COMPONENTS
from memcalc.errors import MemcalcError, ModelError, ScenarioError
from memcalc.hardware.fit import device_for, judge
from memcalc.models import catalogue
from memcalc.overhead import UNEXPLAINED, context_bytes, up_to, workspace_bytes
from memcalc.question import Question
from memcalc.scenario import Scenario
from memcalc.trace import trace
from memcalc.trace.result import Trace, phase_kind, phase_step
from memcalc.units import MiB

if TYPE_CHECKING:
    from memcalc.trace.factory import Batch, Factory

MOST_TENSORS = 60
"""Groups of equal tensors that are listed at the peak."""


def traced_estimate(
    raw: Mapping[str, Any],
    tell: Callable[[str], None] | None = None,
    factory: Factory | None = None,
    batch: Batch | None = None,
) -> dict[str, Any]:
    """Trace ``raw`` and answer as ``estimate`` does, with the largest ``tensors`` at the peak beside it.

    ``tell`` is given the name of each phase of the run as it begins. ``factory`` and ``batch``: any torch module
    instead of the scenario's model (``memcalc.trace.factory``). Sizes in bytes. ``peak.reserved`` is the event
    log replayed through a simulated caching allocator, library workspaces included.
    """
    if factory is not None:
        raw = {**raw, "model": {"factory": factory if isinstance(factory, str) else _name(factory)}}
    scenario = Scenario.read(raw)
    begun = time.monotonic()
    device = device_for(scenario.hardware)
    capability = device.capability if device else 8.0
    shown, assumptions = _understood(raw, scenario, capability)
    model = raw["model"] if factory is not None else _resolved(raw["model"])
    found = trace({**shown, "model": model}, True, tell, factory, batch)
    training = scenario.task == "train"
    workspace = workspace_bytes(capability, training)
    replayed = replayed_with_workspaces(found, workspace, training)
    context = context_bytes(capability)
    high = round(replayed.reserved * (1 + UNEXPLAINED))
    least = int(up_to(replayed.allocated, 2 * MiB))
    device_range = (least + context[0], replayed.reserved + context[1], high + context[2])
    return {
        "scenario": shown,
        "method": "traced",
        "parameters": {**{k: found.parameters[k] for k in ("total", "trainable", "embedding")},
                       "active": found.parameters["total"]},
        "persistent": found.persistent,
        "peak": {
            "tensors": found.tensors,
            "allocated": replayed.allocated,
            "reserved": replayed.reserved,
            "device": device_range[1],
            "phase": found.phase,
            "step": found.step,
        },
        "range": {
            "allocated": [found.tensors, round(replayed.allocated * (1 + UNEXPLAINED))],
            "reserved": [least, high],
            "device": [device_range[0], device_range[2]],
        },
        "at_peak": dict(found.at_peak),
        "component_peak": dict(found.component_peak),
        "phases": phases(found),
        "overhead": {
            "workspace": workspace,
            "context": context[1],
            "cache": replayed.reserved - replayed.allocated,
            "communication": 0,
        },
        "runtime": None,
        "ranks": None,
        "fit": judge(device, scenario.hardware, device_range) if device else None,
        "assumptions": [
            *assumptions,
            *(device.assumptions if device else ()),
            "traced: real model code on a fake GPU; what kernels allocate inside is not seen",
            f"reserved: the trace replayed through a simulated caching allocator, {replayed.segments:,} segments; "
            "not measured on a card. Its low end is what expandable segments would need",
            f"CUDA context: {context[1] / MiB:.0f} MiB assumed, {context[0] / MiB:.0f} to {context[2] / MiB:.0f} "
            "published or plausible for this generation",
        ],
        "tensors": tensors(found),
        "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


def _name(factory: Any) -> str:
    """``"package.module:callable"``."""
    return f"{getattr(factory, '__module__', '?')}:{getattr(factory, '__qualname__', type(factory).__name__)}"


def _understood(raw: Mapping[str, Any], scenario: Scenario, capability: float) -> tuple[dict[str, Any], list[str]]:
    """The scenario with defaults filled in; lengths too where memcalc can describe the model by itself."""
    try:
        question = Question.read(scenario, capability)
        _traceable(question)
        shown = question.scenario.as_dict()
        assumptions = list(question.assumptions)
        lora = shown.get("training", {}).get("lora")
        if lora and lora["targets"] is None:
            del lora["targets"]  # PEFT chooses
    except ModelError:
        shown = {k: v for k, v in scenario.as_dict().items() if v is not None}
        assumptions = list(scenario.notes)
    for name in ("target_len", "image_size", "text_len"):
        if raw.get(name) is not None:
            shown[name] = raw[name]
    return shown, assumptions


def _traceable(question: Question) -> None:
    """Refuse a quantised checkpoint that leaves modules out: the tracer quantises every linear layer but the head."""
    stored, training = question.model.published, question.scenario.task == "train"
    weights = question.scenario.training.base_weights if training else question.scenario.inference.weights
    if stored is not None and stored.weights == weights and stored.leaves_more:
        raise ScenarioError(
            "the tracer does not follow the modules that the checkpoint's quantization_config leaves out",
            "model.config.quantization_config",
        )


def _resolved(model: Any) -> Any:
    """The model as the tracer takes it: a catalogue name and a path become their configuration."""
    if not isinstance(model, str):
        return {"config": model["config"]} if isinstance(model, Mapping) and "config" in model else model
    if model.endswith(".json") or model.startswith(("/", "./", "../", "~")):
        place = Path(model).expanduser()
        place = place / "config.json" if place.is_dir() else place
        try:
            return {"config": json.loads(place.read_text("utf-8"))}
        except (OSError, ValueError) as error:
            raise MemcalcError(f"{model} cannot be read: {error}", "model") from error
    return {"config": catalogue.find(model).config}


def replayed_with_workspaces(found: Trace, workspace: int, training: bool) -> Replay:
    """The trace's log through the simulated allocator, with cuBLAS workspaces of ``workspace`` bytes in all: taken
    where the first forward and the first backward begin."""
    starts: dict[str, int] = {}
    for event in found.events:
        starts.setdefault(phase_kind(event.phase), event.time)
    firsts = [time for name, time in starts.items() if name in ("forward", "prefill")][:1]
    firsts += [starts["backward"]] if training and "backward" in starts else []
    return replay(with_workspaces(found.log, firsts, workspace // max(len(firsts), 1)))


def phases(found: Trace) -> list[dict[str, Any]]:
    """The contract's phases in order, each with its highest instant by component (its first instant included)."""
    best: dict[tuple[str, int], dict[str, int]] = {}
    levels = dict.fromkeys(COMPONENTS, 0)
    for event in found.events:
        kind = phase_kind(event.phase)
        key = (kind, 0 if kind == "load" else 1 if kind == "decode" else phase_step(event.phase))
        if key not in best:
            best[key] = dict(levels)
        levels[event.component] += event.size
        if event.size > 0 and sum(levels.values()) > sum(best[key].values()):
            best[key] = dict(levels)
    return [
        {"name": name, "step": step, "tensors": sum(parts.values()), "at_peak": parts}
        for (name, step), parts in best.items()
        if name != "end"
    ]


def tensors(found: Trace) -> list[dict[str, Any]]:
    """The largest live tensors at the peak, equal ones of different layers together: ``made_by`` is torch's operation
    (``node``: the backward node that ran it), ``module`` where in the model."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in found.live_at_peak:
        module = re.sub(r"\b\d+\b", "*", one.module)
        key = (one.component, one.op, one.node, module, one.shape, one.dtype, one.size)
        held = groups.setdefault(
            key,
            {
                "component": one.component, "made_by": one.op, "node": one.node, "module": module,
                "shape": list(one.shape), "format": one.dtype, "phase": one.phase, "bytes": one.size, "count": 0,
            },
        )  # fmt: skip
        held["count"] += 1
    return sorted(groups.values(), key=lambda one: -one["bytes"] * one["count"])[:MOST_TENSORS]
