"""The estimate: a scenario's answer, every size an integer of bytes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.architectures.images import ImageSpec
from memcalc.architectures.program import Program
from memcalc.components import COMPONENTS
from memcalc.diffusion import estimate_pipeline, is_pipeline
from memcalc.errors import ScenarioError
from memcalc.hardware.fit import Device, judge
from memcalc.hardware.machine import Machine
from memcalc.inference.notes import generation_report, inference_notes
from memcalc.models import generic
from memcalc.overhead import Moved, Overhead, overhead
from memcalc.parallel.notes import parallel_notes
from memcalc.question import Question
from memcalc.runtimes import Served, serve
from memcalc.runtimes.answer import fit_of, overhead_of, settled, stages_of
from memcalc.scenario import Scenario
from memcalc.shared import Shared
from memcalc.stages import Stage, breakdown, component_peaks, highest, moved
from memcalc.tensors.tape import Size
from memcalc.training.notes import training_notes, widened
from memcalc.training.standing import weight_bytes
from memcalc.units import binary

LIMIT = 2**62
"""Bytes: more than any machine has, and what 64-bit integers can still add up."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A scenario's answer. The fields are those of the JSON that ``as_dict`` gives; sizes in bytes."""

    scenario: dict[str, Any]
    method: str
    parameters: dict[str, int]
    persistent: int
    peak: dict[str, Any]
    range: dict[str, list[int]]
    at_peak: dict[str, int]
    component_peak: dict[str, int]
    phases: list[dict[str, Any]]
    overhead: dict[str, int]
    fit: dict[str, Any] | None
    ranks: list[dict[str, Any]] | None
    assumptions: list[str]
    runtime: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The estimate as the contract's JSON object (a copy: change it as you like)."""
        return copy.deepcopy(
            {
                "scenario": self.scenario,
                "method": self.method,
                "parameters": self.parameters,
                "persistent": self.persistent,
                "peak": self.peak,
                "range": self.range,
                "at_peak": self.at_peak,
                "component_peak": self.component_peak,
                "phases": self.phases,
                "overhead": self.overhead,
                "runtime": self.runtime,
                "ranks": self.ranks,
                "fit": self.fit,
                "assumptions": self.assumptions,
            }
        )


def estimate(
    scenario: Mapping[str, Any] | Scenario, allow_files: bool = True, machine: Machine | None = None
) -> Estimate:
    """Estimate the memory of ``scenario``.

    Raises MemcalcError (with ``field`` and ``choices``) for what cannot be understood. ``allow_files=False``
    refuses paths, for scenarios that come from strangers. ``machine``: what is known about this machine's GPUs, for
    a scenario that names one of them.

    >>> round(estimate({"model": "gpt2", "task": "train", "precision": "fp32", "seq_len": 128}).persistent / 1e9, 2)
    1.99
    """
    if isinstance(scenario, Mapping) and is_pipeline(scenario):
        return Estimate(**estimate_pipeline(scenario, Shared(machine=machine).device))
    return _assemble(lay(scenario, allow_files, Shared(machine=machine, whole=True)))


@dataclass(frozen=True, slots=True)
class Laid:
    """A scenario laid out: its timeline, the timeline's highest instant and what comes above it (bytes)."""

    question: Question
    program: Program
    stages: list[Stage]
    peak: int
    above: Overhead
    device: Device | None
    served: Served | None = None


def lay(scenario: Mapping[str, Any] | Scenario, allow_files: bool = True, shared: Shared | None = None) -> Laid:
    """Everything of ``estimate`` but the words and the breakdown: enough for a verdict, and several times as fast
    where ``shared`` already holds the tape."""
    checked = Scenario.read(scenario)
    shared = shared or Shared()
    device = shared.device(checked.hardware)
    question = Question.read(checked, device.capability if device else 8.0, allow_files, shared)
    program = question.program()
    served = serve(question, device) if question.serving else None
    stages = stages_of(served) if served else laid_out(question, program)
    peak = highest(stages)
    if peak > LIMIT:
        raise ScenarioError(f"the scenario needs {binary(peak)}: sizes beyond {binary(LIMIT)} are refused", "batch")
    if served:
        return Laid(question, program, stages, peak, overhead_of(served, device, checked.hardware), device, served)
    measured = device.calibration if device else None
    apart, ends = question.apart(program), question.kept_ends(program)
    scratch = kernel_scratch(question)
    waste = Moved(*moved(stages), settled_gradients(question, program))
    above = overhead(peak, spread(question, peak), checked, question.capability, scratch, waste, measured, apart, ends)
    return Laid(question, program, stages, peak, above, device)


def laid_out(question: Question, program: Program) -> list[Stage]:
    """The timeline of a single scenario."""
    scenario = question.scenario
    batch = scenario.batch
    if scenario.task == "train":
        assert scenario.seq_len is not None
        length, new = scenario.seq_len, 0
    else:
        assert scenario.inference.prompt_tokens is not None
        length, new = scenario.inference.prompt_tokens, scenario.inference.new_tokens
    return question.stages(program, batch, length, new, batch == 1, length == 1)


def spread(question: Question, peak: Size) -> tuple[Size, Size]:
    """The tensors' own (low, high): exact for a described model; for one known by size only, the extremes of
    deeper and flatter shapes."""
    if question.model.method != "generic":
        return widened(question.scenario, peak, question.model.spec.family)
    parameters = int(question.scenario.model["parameters"])
    others = [highest(laid_out(question, question.program(spec))) for spec in generic.alternatives(parameters)]
    return min(peak, *others), max(peak, *others)


def settled_gradients(question: Question, program: Program) -> int:
    """Bytes of gradients that backward puts where activations were."""
    return question.standing(program).gradients if question.scenario.task == "train" else 0


def kernel_scratch(question: Question, batch: Size | None = None, length: Size | None = None) -> Size:
    """What flash attention's backward allocates besides its results, which no trace sees: an fp32 accumulator
    for the queries' gradient, one number a row, and with grouped queries gradients of keys and values for every
    query head [csrc/flash_attn/flash_api.cpp, mha_bwd]. It matters only if the peak falls there. For convolutions: room
    for the largest map twice, since cuDNN's kernels copy pictures into their own order (assumed). ``batch`` and
    ``length``: the scenario's, or a grid's."""
    scenario, spec, precision = question.scenario, question.model.spec, question.precision
    if isinstance(spec, ImageSpec) and spec.convolves:
        assert scenario.image_size is not None
        count = scenario.batch if batch is None else batch
        return 2 * count * spec.widest(scenario.image_size) * (precision.autocast or precision.weights).size
    if scenario.task != "train" or scenario.attention not in ("sdpa", "flash") or question.capability < 8.0:
        return 0
    if not (precision.autocast or precision.weights).is_half:
        return 0
    assert scenario.seq_len is not None
    batch = scenario.batch if batch is None else batch
    rows = batch * spec.heads * ((scenario.seq_len if length is None else length) + 127)
    grouped = 2 * 2 * spec.head_dim if spec.kv_heads != spec.heads else 0
    return rows * (4 * spec.head_dim + 4 + grouped)


def _assemble(laid: Laid) -> Estimate:
    question, program, stages, above, device = laid.question, laid.program, laid.stages, laid.above, laid.device
    scenario, served = question.scenario, laid.served
    phases, at_peak, where = _phases(stages)
    training = scenario.task == "train"
    if training:
        persistent = question.standing(program).persistent
    else:
        persistent = served.weights if served else weight_bytes(program)
    assumptions = list(question.assumptions)
    assumptions += training_notes(question, program) if training else inference_notes(question)
    assumptions += parallel_notes(question, program)
    fit = None
    if device is not None:
        fit = judge(device, scenario.hardware, above.device)
        if served:
            fit = fit_of(served, device, scenario.hardware, above)
        assumptions += device.assumptions
    if served:
        assumptions += served.assumptions
    return Estimate(
        scenario=settled(question, served) if served else scenario.as_dict(),
        method=question.model.method,
        parameters=_parameters(question.whole_program(program)),
        persistent=persistent,
        peak={
            "tensors": laid.peak,
            "allocated": above.allocated[1],
            "reserved": above.reserved[1],
            "device": above.device[1],
            "phase": where[0],
            "step": where[1],
        },
        range={
            name: [part[0], part[2]]
            for name, part in (("allocated", above.allocated), ("reserved", above.reserved), ("device", above.device))
        },
        at_peak=at_peak,
        component_peak=component_peaks(stages),
        phases=phases,
        overhead={
            "workspace": above.workspace,
            "context": above.context,
            "cache": above.reserved[1] - above.allocated[1],
            "communication": above.communication,
        },
        fit=fit,
        ranks=_ranks(laid),
        assumptions=[*assumptions, *above.reasons],
        runtime=served.report if served else generation_report(question, program),
    )


def _ranks(laid: Laid) -> list[dict[str, Any]] | None:
    """One summary for equal ranks: how many there are, what the fullest of them needs, what lies in host memory for
    each (bytes)."""
    scenario = laid.question.scenario
    if scenario.parallel.cards == 1:
        return None
    host = laid.question.standing(laid.program).host if scenario.task == "train" else 0
    return [
        {
            "ranks": [0, scenario.parallel.cards - 1],
            "count": scenario.parallel.cards,
            "tensors": laid.peak,
            "allocated": laid.above.allocated[1],
            "reserved": laid.above.reserved[1],
            "device": laid.above.device[1],
            "host": host,
        }
    ]


def _phases(stages: list[Stage]) -> tuple[list[dict[str, Any]], dict[str, int], tuple[str, int]]:
    """The phases in order (the largest micro-batch or decode step stands for its phase), and the highest."""
    found: dict[tuple[str, int], tuple[int, Stage]] = {}
    for one in stages:
        step = 1 if one.phase == "decode" else one.step
        peak = one.peak
        held = found.get((one.phase, step))
        if held is None or peak > held[0]:
            found[one.phase, step] = (peak, one)
    listed, best, at_peak, where = [], -1, {}, ("load", 0)
    for (phase, step), (peak, stage) in found.items():
        parts = breakdown(stage)
        listed.append({"name": phase, "step": step, "tensors": peak, "at_peak": parts})
        if peak > best:
            best, at_peak, where = peak, parts, (phase, step)
    return listed, at_peak, where


def _parameters(program: Program) -> dict[str, int]:
    total = sum(one.count * one.repeat for one in program.parameters)
    return {
        "total": total,
        "trainable": sum(one.count * one.repeat for one in program.parameters if one.trainable) + program.unreached,
        "embedding": sum(one.count for one in program.embeddings()),
        "active": total - program.idle_parameters,
    }


__all__ = ["COMPONENTS", "Estimate", "estimate"]
