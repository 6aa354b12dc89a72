"""Optimizer states, and the temporaries of ``optimizer.step()``.

Each optimizer is a short program that mirrors its step tensor by tensor (``adaptive``, ``plain``, ``factored``,
``matrices``, ``eight_bit``); states and peaks are read off the tape on which it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

from memcalc.formats import Format
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter
from memcalc.training.optimizers import adaptive, eight_bit, factored, matrices, plain
from memcalc.training.optimizers.tapes import Program, Slot, Step, unrolled

_ALL = ("foreach", "fused", "for-loop")
_UNFUSED = ("foreach", "for-loop")
_LOOP = ("for-loop",)

PROGRAMS: dict[str, tuple[Program, tuple[str, ...]]] = {
    "adamw": (adaptive.adamw, _ALL),
    "adam": (adaptive.adam, _ALL),
    "sgd": (plain.sgd, _ALL),
    "sgd-momentum": (plain.sgd_momentum, _ALL),
    "adagrad": (plain.adagrad, _UNFUSED),
    "rmsprop": (plain.rmsprop, _UNFUSED),
    "adafactor": (factored.adafactor, _UNFUSED),
    "adafactor-hf": (factored.adafactor_hf, _LOOP),
    "nadam": (adaptive.nadam, _UNFUSED),
    "radam": (adaptive.radam, _UNFUSED),
    "adamax": (adaptive.adamax, _UNFUSED),
    "adadelta": (adaptive.adadelta, _UNFUSED),
    "lion": (plain.lion, _UNFUSED),
    "lamb": (plain.lamb, _UNFUSED),
    "adamw-8bit": (eight_bit.adamw_8bit, ("fused",)),
    "paged-adamw-8bit": (eight_bit.paged_adamw_8bit, ("fused",)),
    "paged-adamw-32bit": (eight_bit.paged_adamw_32bit, ("fused",)),
    "lion-8bit": (eight_bit.lion_8bit, ("fused",)),
    "muon": (matrices.muon, _ALL),
    "adam-mini": (factored.adam_mini, _LOOP),
    "galore": (matrices.galore, _LOOP),
    "apollo": (matrices.apollo, _LOOP),
}
IMPLEMENTATIONS: dict[str, tuple[str, ...]] = {name: one[1] for name, one in PROGRAMS.items()}
"""The optimizers and the ways in which each can run on a GPU (torch's fused Adagrad runs on the CPU only)."""

OPTIONS: dict[str, tuple[str, ...]] = {
    "adamw": ("weight_decay", "amsgrad"),
    "adam": ("weight_decay", "amsgrad"),
    "sgd": ("weight_decay", "momentum"),
    "sgd-momentum": ("weight_decay", "momentum"),
    "adagrad": ("weight_decay",),
    "rmsprop": ("weight_decay", "momentum", "centered"),
    "adafactor": ("weight_decay",),
    "adafactor-hf": ("weight_decay", "beta1"),
    "nadam": ("weight_decay",),
    "radam": ("weight_decay",),
    "adamax": ("weight_decay",),
    "adadelta": ("weight_decay",),
    "galore": ("rank",),
    "apollo": ("rank",),
}
"""The hyperparameters of each that change memory."""

FORMULAS = {
    "step": "one number a tensor, on the GPU when fused",
    "row factor": "one value a row of each matrix",
    "column factor": "one value a column of each matrix",
    "variance": "one value a value of each vector",
    "RMS": "one number a tensor",
    "state1": "one byte a value, fp32 for tensors below 4,096 values",
    "state2": "one byte a value, fp32 for tensors below 4,096 values",
    "absmax1": "one fp32 value for each 256 values",
    "absmax2": "one fp32 value for each 256 values",
    "code map 1": "256 fp32 values in all",
    "code map 2": "256 fp32 values in all",
    "momentum_buffer": "one value a parameter that has momentum",
    "vmean": "one value a head of queries and keys, a row of other matrices, a norm",
    "projector": "rank x the smaller side of each matrix",
}
"""What a state's size is made of, in words; others have one value a trained parameter."""


@dataclass(frozen=True, slots=True)
class StepMemory:
    """What an optimizer holds and what its step needs for a moment; bytes.

    ``states``: (name, formula, bytes over all trained parameters). ``at_load``: they exist from construction
    on (Adagrad), not from the first step. ``first`` and ``later``: the most that the first and the later
    steps need above weights, gradients and all states. ``what`` says what that is. ``unmade``: of the states, what does
    not exist yet at the first step's highest instant.
    """

    states: tuple[tuple[str, str, int], ...]
    at_load: bool
    first: int
    later: int
    what: str
    unmade: int = 0

    @property
    def state_bytes(self) -> int:
        return sum(size for _, _, size in self.states)


@dataclass(slots=True)
class StepRun:
    """Two steps on a tape. ``marks``: the events at which construction, the first and the second step end."""

    tape: Tape
    slots: list[Slot]
    marks: tuple[int, int, int]


def run_steps(
    optimizer: str, impl: str, trained: Sequence[Parameter], options: Mapping[str, Any], fmt: Format | None = None
) -> StepRun:
    """Run ``optimizer`` twice over the ``trained`` parameters; ``fmt``: the format that it works in, if that is not
    the parameters' own (fp32 master copies)."""
    program, _ = PROGRAMS[optimizer]
    tape, slots = Tape(), unrolled(trained, fmt)
    if optimizer == "adagrad":
        plain.adagrad_begin(Step(tape, slots, options, impl))
    marks = [len(tape.events)]
    for number in (1, 2):
        if slots:
            program(Step(tape, slots, options, impl, number))
        marks.append(len(tape.events))
    return StepRun(tape, slots, (marks[0], marks[1], marks[2]))


def step_memory(
    optimizer: str, impl: str, trained: Sequence[Parameter], options: Mapping[str, Any], fmt: Format | None = None
) -> StepMemory:
    """The memory of ``optimizer`` over the ``trained`` parameters (see ``run_steps``)."""
    shapes = tuple((one.name, one.shape, one.format, one.repeat) for one in trained)
    return _measured(optimizer, impl, shapes, tuple(sorted(options.items())), fmt)


Shapes = tuple[tuple[str, tuple[int, ...], Format, int], ...]


@lru_cache(maxsize=64)
def _measured(
    optimizer: str, impl: str, shapes: Shapes, options: tuple[tuple[str, Any], ...], fmt: Format | None
) -> StepMemory:
    trained = [Parameter(name, shape, own, repeat) for name, shape, own, repeat in shapes]
    run = run_steps(optimizer, impl, trained, dict(options), fmt)
    records, (begun, first, second) = run.tape.records, run.marks
    steps = [records[e].bytes if e >= 0 else -records[~e].bytes for e in run.tape.events[:second]]
    levels = list(accumulate(steps, initial=0))
    states: dict[str, int] = {}
    for slot in run.slots:
        for name, held in slot.state.items():
            states[name] = states.get(name, 0) + held.record.bytes
    total = sum(states.values())
    peaks = (max(levels[begun : first + 1]) - total, max(levels[first : second + 1]) - total)
    top = levels.index(max(levels[begun : first + 1])) if peaks[0] > peaks[1] else levels.index(
        max(levels[first : second + 1]), first
    )  # fmt: skip
    highest = levels.index(max(levels[begun : first + 1]), begun)
    return StepMemory(
        tuple((name, FORMULAS.get(name, "one value a trained parameter"), size) for name, size in states.items()),
        begun > 0,
        max(peaks[0], 0),
        max(peaks[1], 0),
        _what(run.tape, top) if max(peaks) > 0 else "",
        max(total - _states_at(run.tape, highest), 0) if peaks[0] > 0 else 0,
    )


def _states_at(tape: Tape, stop: int) -> int:
    """Bytes of the states that exist after the first ``stop`` events."""
    found = 0
    for event in tape.events[:stop]:
        record = tape.records[event if event >= 0 else ~event]
        if record.component == "optimizer":
            found += record.bytes if event >= 0 else -record.bytes
    return found


def _what(tape: Tape, stop: int) -> str:
    """The temporaries alive after the first ``stop`` events, largest first, in words."""
    alive: dict[int, int] = {}
    for event in tape.events[:stop]:
        if event >= 0:
            alive[event] = 1
        else:
            alive.pop(~event, None)
    sizes: dict[str, int] = {}
    for index in alive:
        record = tape.records[index]
        if record.component == "temporary":
            sizes[record.op] = sizes.get(record.op, 0) + record.bytes
    return ", ".join(sorted(sizes, key=lambda op: -sizes[op])[:3])
