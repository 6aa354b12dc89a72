"""Every byte by name: the timeline block by block, and the tensors that make its highest instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.architectures.program import Program
from memcalc.components import COMPONENTS
from memcalc.estimate import laid_out
from memcalc.formats import Format
from memcalc.hardware.fit import device_for
from memcalc.hardware.machine import Machine
from memcalc.parallel import lines
from memcalc.parallel.lines import Line
from memcalc.question import Question
from memcalc.runtimes import Served, serve
from memcalc.runtimes.answer import stages_of
from memcalc.runtimes.names import named_parts
from memcalc.scenario import Scenario
from memcalc.sources import source_of
from memcalc.stages import Stage, instant
from memcalc.tensors.ops.quantised import QuantisedParameter
from memcalc.tensors.tape import Record
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.timeline import Segment, alive


@dataclass(frozen=True, slots=True)
class Point:
    """The highest instant of one block (or of what lies between the blocks) in one phase; bytes by component."""

    phase: str
    step: int
    label: str
    components: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.components.values())


@dataclass(frozen=True, slots=True)
class NamedTensor:
    """Equal tensors at the peak: ``count`` of them, ``bytes`` each (rounded to 512), made by ``op``.

    ``formula`` shows the arithmetic ("2 × 2,048 × 4,096 × 2 B"), ``source`` where the rule comes from.
    """

    name: str
    component: str
    op: str
    shape: tuple[int, ...]
    format: str
    count: int
    bytes: int
    formula: str
    source: str

    @property
    def total(self) -> int:
        return self.count * self.bytes


@dataclass(frozen=True, slots=True)
class Timeline:
    """The run in order, where its highest instant lies (an index into ``points``), and what lives there."""

    points: tuple[Point, ...]
    peak: int
    tensors: tuple[NamedTensor, ...]


def timeline(
    scenario: Mapping[str, Any] | Scenario, allow_files: bool = True, machine: Machine | None = None
) -> Timeline:
    """Lay out ``scenario`` block by block and name the tensors of its peak, largest first.

    The tensors' sizes sum to the estimate's ``peak.tensors``. ``machine``: as for ``estimate``.
    """
    checked = Scenario.read(scenario)
    device = device_for(checked.hardware, machine)
    question = Question.read(checked, device.capability if device else 8.0, allow_files)
    program = question.program()
    served = serve(question, device) if question.serving else None
    stages = stages_of(served) if served else laid_out(question, program)
    points = tuple(point for stage in stages for point in _points(stage))
    top = max(stages, key=lambda stage: stage.peak)
    totals = [point.total for point in points]
    named = served_tensors(question, program, served) if served else _tensors(question, program, top)
    tensors = sorted(named, key=lambda one: -one.total)
    return Timeline(points, totals.index(max(totals)), tuple(tensors))


def served_tensors(question: Question, program: Program, served: Served) -> Iterator[NamedTensor]:
    """What a serving runtime holds, by name: its weights by kind, its cache, its buffer."""
    for name, component, formula, source, size in named_parts(question, program, served):
        yield NamedTensor(name, component, "runtime", (), "", 1, size, formula, source)


def _points(stage: Stage) -> Iterator[Point]:
    level = dict.fromkeys(COMPONENTS, 0)
    for name, size in stage.base.items():
        level[name] += size
    for one in stage.before:
        for name, size in one.component_nets().items():
            level[name] += one.repeat * size
    if not stage.parts:
        yield Point(stage.phase, stage.step, stage.phase, {**level, "temporary": level["temporary"] + stage.temporary})
        return
    for one in stage.parts:
        inside = _local_peak(one)
        nets = one.component_nets()
        for k in range(one.repeat):
            label = one.label if one.repeat == 1 else f"{one.label} ({k + 1} of {one.repeat})"
            yield Point(
                stage.phase, stage.step, label, {name: level[name] + inside.get(name, 0) for name in COMPONENTS}
            )
            for name, size in nets.items():
                level[name] += size


def _local_peak(one: Segment) -> dict[str, int]:
    level, best, at = 0, -1, -1
    for i, step in enumerate(one.steps):
        level += step
        if level > best:
            best, at = level, i
    return one.component_sum(at + 1)


def _tensors(question: Question, program: Program, stage: Stage) -> Iterator[NamedTensor]:
    yield from _standing(question, program, stage)
    parts = stage.before + stage.parts
    found = instant(stage)
    groups: dict[tuple[Any, ...], list[Any]] = {}
    if found is None:
        pairs = _all_alive(parts)
    else:
        shifted = type(found)(found.segment + len(stage.before), found.repetition, found.event)
        pairs = alive(parts, shifted)
    for count, record in pairs:
        key = (record.component, record.name or record.op, record.op, record.shape, record.format)
        held = groups.setdefault(key, [0, record])
        held[0] += count
    for count, record in groups.values():
        if count > 0 and record.bytes:
            yield _named(record, count)
    if stage.temporary:
        settings = question.scenario.training
        stands = question.standing(program)
        what = stands.step.what or ("fp32 copies of the gradients" if stands.copies else "norms of the gradients")
        yield NamedTensor(
            what, "temporary", f"{settings.optimizer} ({settings.optimizer_impl})", (), "", 1, stage.temporary,
            what, source_of(settings.optimizer),
        )  # fmt: skip


def _all_alive(parts: list[Segment]) -> Iterator[tuple[int, Record]]:
    if not parts:
        return iter(())
    from memcalc.tensors.timeline import Instant

    return alive(parts, Instant(len(parts) - 1, parts[-1].repeat - 1, len(parts[-1].steps) - 1))


def _standing(question: Question, program: Program, stage: Stage) -> Iterator[NamedTensor]:
    """What stands beside the tape: weights, gradients that exist, optimizer states, by parameter or by state."""
    training = question.scenario.task == "train"
    held = question.standing(program) if training else None
    shards = lines.weights(question.scenario, program, held) if held else None
    if shards is None:
        for parameter in program.parameters:
            yield _parameter(parameter, "weights", "parameter", parameter.format)
    else:
        yield from map(_line, shards)
    for name, shape, fmt in program.buffers():
        record = Record(_bytes(shape, fmt), shape, fmt, "buffer", "weights", 0, name)
        yield _named(record, 1)
    if held is None:
        if stage.base.get("temporary"):
            yield NamedTensor("16-bit buffer of the quantised kernel", "temporary", "dequantise", (), "", 1,
                              stage.base["temporary"], "2 B a value of the largest quantised matrix, and 128 B",
                              "AutoGPTQ qlinear_exllamav2.py: temp_dq_size")  # fmt: skip
        return
    yield from map(_line, lines.buckets(question.scenario, held))
    if stage.base.get("gradients", 0) > held.buckets:
        size = stage.base["gradients"] - held.buckets
        shards = lines.gradients(question.scenario, program, held, size)
        fmt_of = Format.FP32 if held.gradients_stay else None
        if shards is None:
            for parameter in program.parameters:
                if parameter.trainable:
                    yield _parameter(parameter, "gradients", "gradient", fmt_of or parameter.format)
        else:
            yield from map(_line, shards)
    optimizer = question.scenario.training.optimizer
    if held.masters:
        yield _sum("master weights", held.masters, "one fp32 value for each 16-bit weight", "master weights")
    if held.ema:
        yield _sum("moving average of the weights", held.ema, "one value a trained weight", "ema")
    if stage.base.get("optimizer", 0) > held.masters + held.ema:
        for name, formula, size in held.step.states:
            if size:
                yield _sum(name, size, formula, optimizer)


def _line(one: Line) -> NamedTensor:
    return NamedTensor(
        one.name, one.component, one.op, one.shape, one.format, one.count, one.bytes, one.formula, source_of(one.op)
    )


def _sum(name: str, size: int, formula: str, source: str) -> NamedTensor:
    return NamedTensor(name, "optimizer", "state", (), "", 1, size, formula, source_of(source))


def _bytes(shape: tuple[int, ...], fmt: Format) -> int:
    return Parameter("", shape, fmt).bytes()


def _parameter(one: Parameter, component: str, op: str, fmt: Format) -> NamedTensor:
    if isinstance(one, QuantisedParameter) and component == "weights":
        parts = " + ".join(f"{piece.name} {piece.formula}" for piece in one.pieces)
        times = f"{one.repeat:,} × ({parts})" if one.repeat > 1 else parts
        return NamedTensor(one.name, component, op, one.shape, one.scheme.name, one.repeat, one.bytes(), times,
                           one.scheme.source)  # fmt: skip
    record = Record(one.bytes(fmt), one.shape, fmt, op, component, 0, one.name)
    return _named(record, one.repeat)


def _named(record: Record, count: int) -> NamedTensor:
    product = " × ".join(f"{dim:,}" for dim in record.shape) or "1"
    times = f"{count:,} × " if count > 1 else ""
    return NamedTensor(
        record.name or record.op,
        record.component,
        record.op,
        record.shape,
        record.format.label,
        count,
        record.bytes,
        f"{times}{product} × {record.format.size} B",
        source_of(record.op),
    )
