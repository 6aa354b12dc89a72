"""The symbolic timeline as an event log, tensor by tensor, and what the caching allocator makes of it.

``estimate`` adds segments up without ever listing their tensors; here they are listed: repeated blocks one after
another, both steps (or prefill and every decode step that the timeline holds), the optimizer's step tensor by tensor.
The log is then replayed through the simulated allocator, which gives ``reserved`` for this one scenario exactly as
far as the simulation goes. Slower than ``estimate`` (tenths of a second), so it is there on demand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memcalc.allocator.log import EventLog
from memcalc.allocator.replay import Replay, replay
from memcalc.allocator.workspaces import with_workspaces
from memcalc.architectures.program import Program
from memcalc.errors import ScenarioError
from memcalc.estimate import laid_out
from memcalc.formats import Format
from memcalc.hardware.fit import device_for
from memcalc.hardware.machine import Machine
from memcalc.overhead import workspace_bytes
from memcalc.parallel import ddp, fsdp2, strategy
from memcalc.parallel.groups import groups
from memcalc.question import Question
from memcalc.scenario import Scenario
from memcalc.stages import Stage
from memcalc.tensors.tape import Record, rounded
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.timeline import Segment
from memcalc.training.optimizers import run_steps
from memcalc.training.optimizers.tapes import unrolled
from memcalc.training.standing import step_options


def event_log(question: Question) -> EventLog:
    """The scenario's whole run as an event log. ZeRO is refused, and shards that wait in host memory: their optimizers
    step flat tensors that no list of parameters tells."""
    parallel = question.scenario.parallel
    training = question.scenario.task == "train"
    if training and (parallel.shards in ("zero1", "zero2", "zero3") or parallel.offload != "none"):
        raise ScenarioError(
            "the replay through the allocator follows one replica, ddp and fsdp2 without offload", "parallel.strategy",
            ["ddp", "fsdp2"],
        )  # fmt: skip
    if question.serving:
        runtime = question.scenario.inference.runtime
        raise ScenarioError(f"{runtime} takes its memory by a plan of its own: there is nothing to replay",
                            "inference.runtime", ["transformers", "forward"])  # fmt: skip
    program = question.program()
    stages = laid_out(question, program)
    log = EventLog()
    log.begin("load")
    if stages[0].base.get("temporary"):
        log.birth(stages[0].base["temporary"])
    weights, trained = _held(question, program)
    for slot in unrolled(weights, None):
        log.birth(slot.parameter.bytes())
    for _, shape, fmt in program.buffers():
        log.birth(Parameter("", shape, fmt).bytes())
    if training:
        if parallel.shards == "ddp" and question.scenario.training.gradient_dtype != "fp32":
            for size in ddp.largest(trained):
                log.birth(rounded(size))
        _train(log, question, stages, step_options(program, question.scenario.training), trained)
    else:
        for stage in stages:
            if stage.phase == "decode" and stage.step > question.scenario.inference.new_tokens:
                continue
            log.begin(stage.phase)
            if stage.before:
                log.carry_over(stage.before)
            log.run(stage.parts)
    return log


def _held(question: Question, program: Program) -> tuple[list[Parameter], list[Parameter]]:
    """The parameters that one card holds, and the trained ones as its optimizer sees them."""
    scenario = question.scenario
    if scenario.task != "train" or scenario.parallel.shards != "fsdp2":
        return program.parameters, [one for one in program.parameters if one.trainable]
    found, n = groups(program), scenario.parallel.data
    kept = strategy.formats(scenario.parallel, scenario.precision)
    return fsdp2.sharded(found, n, kept, trained=False), fsdp2.sharded(found, n, kept)


def _train(
    log: EventLog, question: Question, stages: Sequence[Stage], options: Mapping[str, Any], trained: list[Parameter]
) -> None:
    settings, precision = question.scenario.training, question.precision
    slots = unrolled(trained, None)
    records: dict[int, Record] = {}
    for stage in stages:
        for part in (*stage.before, *stage.parts):
            records |= {id(one): one for one in part.records}
    stay = settings.gradient_dtype == "fp32"
    gradients = [log.birth(one.parameter.bytes(Format.FP32)) for one in slots] if stay else []
    if settings.ema:
        for one in slots:
            log.birth(one.parameter.bytes())
    halves = [one for one in slots if precision.master and one.format.is_half]
    for one in halves:
        log.birth(one.parameter.bytes(Format.FP32))
    run = run_steps(
        settings.optimizer,
        settings.optimizer_impl,
        trained,
        options,
        Format.FP32 if precision.master else None,
    )
    marks = (0, *run.marks)
    held: dict[int, int] = {}

    def optimizer(number: int) -> None:
        wide = [] if stay else [log.birth(one.parameter.bytes(Format.FP32)) for one in halves] if number else []
        for event in run.tape.events[marks[number] : marks[number + 1]]:
            if event >= 0:
                held[event] = log.birth(run.tape.records[event].bytes)
            else:
                log.death(held.pop(~event))
        for storage in wide:
            log.death(storage)

    optimizer(0)  # what exists from construction on
    inputs: list[Segment] = stages[1].before if len(stages) > 1 else []
    first = True
    for stage in stages:
        log.begin(stage.phase)
        if stage.phase == "forward" and first:
            log.run(stage.before if not stage.before or stage.before is inputs else inputs)
            first = False
        if stage.phase in ("forward", "backward"):
            log.run(stage.parts)
        elif stage.phase == "optimizer":
            optimizer(stage.step)
            if settings.zero_grad == "set-to-none" and not stay:
                log.forget("gradients", records)
    del gradients


def replay_scenario(
    scenario: Mapping[str, Any] | Scenario,
    allow_files: bool = True,
    expandable: bool = False,
    machine: Machine | None = None,
) -> Replay:
    """``scenario`` through the simulated caching allocator, cuBLAS workspaces included; limited by no card.
    ``machine``: what is known about this machine's GPUs, for a scenario that names one of them.

    >>> found = replay_scenario({"model": "gpt2", "task": "train", "seq_len": 128})
    >>> found.reserved >= found.allocated >= found.tensors
    True
    """
    checked = Scenario.read(scenario)
    device = device_for(checked.hardware, machine)
    question = Question.read(checked, device.capability if device else 8.0, allow_files)
    log = event_log(question)
    starts = [log.starts[name] for name in ("forward", "prefill", "backward") if name in log.starts]
    workspace = workspace_bytes(question.capability, checked.task == "train")
    events = with_workspaces(log.events, starts, rounded(workspace // max(len(starts), 1)))
    return replay(events, None, expandable, log.streams)
