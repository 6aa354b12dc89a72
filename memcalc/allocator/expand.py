"""The symbolic timeline as an event log, tensor by tensor, and what the caching allocator makes of it.

``estimate`` adds segments up without ever listing their tensors; here they are listed: repeated blocks one after
another, both steps (or prefill and every decode step that the timeline holds), the optimizer's step tensor by tensor.
The log is then replayed through the simulated allocator, which gives ``reserved`` for this one scenario exactly as
far as the simulation goes. Slower than ``estimate`` (tenths of a second), so it is there on demand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memcalc.allocator.replay import Replay, replay
from memcalc.allocator.workspaces import LogEvent, with_workspaces
from memcalc.architectures.decoder import Decoder
from memcalc.errors import ScenarioError
from memcalc.estimate import laid_out
from memcalc.formats import Format
from memcalc.hardware.fit import device_for
from memcalc.hardware.machine import Machine
from memcalc.overhead import workspace_bytes
from memcalc.question import Question
from memcalc.scenario import Scenario
from memcalc.stages import Stage
from memcalc.tensors.tape import Record, rounded
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.timeline import Segment
from memcalc.training.optimizers import run_steps
from memcalc.training.optimizers.tapes import unrolled
from memcalc.training.standing import step_options


class EventLog:
    """Births and deaths in order, as ``replay`` takes them, and where each kind of phase first began."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.sizes: dict[int, int] = {}
        self.starts: dict[str, int] = {}
        self._copies: dict[int, deque[int]] = {}  # a record's living storages, oldest first
        self._by_size: dict[int, dict[int, None]] = {}  # living storages of each size, in order of birth
        self._record_of: dict[int, int] = {}
        self._kind: dict[int, tuple[str, tuple[int, ...]]] = {}

    def begin(self, phase: str) -> None:
        self.starts.setdefault(phase, len(self.events))

    def birth(self, size: int, record: Record | None = None) -> int:
        """A new storage of ``size`` bytes; nothing is noted for 0."""
        storage = len(self.sizes)
        self.sizes[storage] = size
        if size:
            self.events.append((size, storage))
            if record is not None:
                self._copies.setdefault(id(record), deque()).append(storage)
                self._record_of[storage] = id(record)
                self._kind[storage] = (record.component, record.shape)
                self._by_size.setdefault(size, {})[storage] = None
        return storage

    def death(self, storage: int) -> None:
        size = self.sizes[storage]
        if size:
            self.events.append((-size, storage))

    def death_of(self, record: Record) -> None:
        """The youngest living copy of ``record`` dies: backward undoes the blocks in reverse. Where none is left, what
        the neighbouring block handed on dies: the youngest of that component and shape, or at least of that size."""
        copies = self._copies.get(id(record))
        if copies:
            storage = copies.pop()
        else:
            alive = self._by_size.get(record.bytes)
            if not alive:
                return
            youngest = list(reversed(alive))
            own = [one for one in youngest if self._kind[one] == (record.component, record.shape)]
            storage = (own or youngest)[0]
            self._copies[self._record_of[storage]].remove(storage)
        del self._by_size[record.bytes][storage]
        self.death(storage)

    def run(self, parts: Iterable[Segment]) -> None:
        """Segments one after another, repeated ones as often as they repeat."""
        for part in parts:
            for _ in range(part.repeat):
                for step, record in zip(part.steps, part.records, strict=True):
                    if step > 0:
                        self.birth(step, record)
                    elif step < 0:
                        for _ in range(-step // record.bytes):
                            self.death_of(record)

    def carry_over(self, parts: Iterable[Segment]) -> None:
        """Begin a stage that finds what ``parts`` make: living storages of the right sizes are taken over, the others
        die as the new ones are made (a cache that has grown meanwhile, layer by layer)."""
        old = list(self._record_of)
        spare: dict[int, list[int]] = {}
        alive = [one for one in old if one in self._by_size.get(self.sizes[one], {})]
        for storage in reversed(alive):
            spare.setdefault(self.sizes[storage], []).append(storage)
        wanted: list[Record] = []
        for part in parts:
            births = [record for step, record in zip(part.steps, part.records, strict=True) if step > 0]
            wanted += births * part.repeat
        missing: list[Record] = []
        for record in wanted:
            same = spare.get(record.bytes)
            if same:
                storage = same.pop()
                self._copies[self._record_of[storage]].remove(storage)
                self._record_of[storage] = id(record)
                self._kind[storage] = (record.component, record.shape)
                self._copies.setdefault(id(record), deque()).append(storage)
            elif record.bytes:
                missing.append(record)
        left = {storage for same in spare.values() for storage in same}
        leaving = [storage for storage in alive if storage in left]
        while leaving or missing:
            if leaving:
                self._drop(leaving.pop(0))
            if missing:
                record = missing.pop(0)
                self.birth(record.bytes, record)

    def _drop(self, storage: int) -> None:
        self._copies[self._record_of[storage]].remove(storage)
        del self._by_size[self.sizes[storage]][storage]
        self.death(storage)

    def forget(self, component: str, records: Mapping[int, Record]) -> None:
        """Every living storage of ``component`` dies, oldest first (gradients set to None)."""
        for key, copies in self._copies.items():
            if records[key].component == component:
                while copies:
                    storage = copies.popleft()
                    del self._by_size[self.sizes[storage]][storage]
                    self.death(storage)


def event_log(question: Question) -> EventLog:
    """The scenario's whole run as an event log. Replicas and shards are refused: several streams have memory of their
    own there, and the simulated allocator has one."""
    if question.scenario.task == "train" and question.scenario.parallel.shards is not None:
        raise ScenarioError("the replay through the allocator follows one replica only", "parallel.data", [1])
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
    for slot in unrolled(program.parameters, None):
        log.birth(slot.parameter.bytes())
    for _, shape, fmt in program.buffers():
        log.birth(Parameter("", shape, fmt).bytes())
    if question.scenario.task == "train":
        _train(log, question, stages, program)
    else:
        for stage in stages:
            if stage.phase == "decode" and stage.step > question.scenario.inference.new_tokens:
                continue
            log.begin(stage.phase)
            if stage.before:
                log.carry_over(stage.before)
            log.run(stage.parts)
    return log


def _train(log: EventLog, question: Question, stages: Sequence[Stage], program: Decoder) -> None:
    trained = [one for one in program.parameters if one.trainable]
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
        step_options(program, settings),
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
    return replay(with_workspaces(log.events, starts, rounded(workspace // max(len(starts), 1))), None, expandable)
