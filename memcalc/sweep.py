"""A whole grid at once: one run of the program over arrays of batch and length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memcalc.architectures.spec import ModelSpec
from memcalc.breakdowns import breakdowns
from memcalc.components import COMPONENTS
from memcalc.diffusion import grid as pictures
from memcalc.diffusion import is_pipeline
from memcalc.errors import ScenarioError
from memcalc.estimate import LIMIT, kernel_scratch, settled_gradients
from memcalc.hardware.fit import Device, device_for
from memcalc.hardware.machine import Machine
from memcalc.models import generic
from memcalc.overhead import Moved, overhead
from memcalc.question import Question
from memcalc.runtimes import serve
from memcalc.runtimes.answer import held, overhead_of
from memcalc.scenario import Scenario
from memcalc.shared import Shared
from memcalc.stages import highest, moved
from memcalc.training.notes import widened
from memcalc.units import binary

Grid = NDArray[np.int64]
AXES = ("batch", "seq_len", "prompt_tokens", "new_tokens")
MOST_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """Peaks over a grid, in bytes; each array has one dimension for each axis, in the order asked for.

    ``tensors``, ``allocated``, ``reserved``, ``device`` are the points; ``device_low`` and ``device_high``
    the range against which a card is judged; ``components``, if asked for, what each component holds at each point's
    highest instant (they sum to ``tensors``).
    """

    axes: dict[str, list[int]]
    tensors: Grid
    allocated: Grid
    reserved: Grid
    device: Grid
    device_low: Grid
    device_high: Grid
    components: dict[str, Grid] | None = None


def sweep(
    scenario: Mapping[str, Any] | Scenario,
    allow_files: bool = True,
    machine: Machine | None = None,
    **axes: Sequence[int],
) -> Sweep:
    """Evaluate ``scenario`` over the outer product of ``axes``: ``batch`` and ``seq_len`` for training; ``batch``,
    ``prompt_tokens`` and ``new_tokens`` for inference; for image pipelines ``batch``, ``images``, ``image_size``,
    ``width``, ``height`` and ``text_len``. ``machine``: as for ``estimate``.

    >>> sweep({"model": "gpt2", "task": "train"}, batch=[1, 2, 4], seq_len=[128, 256]).tensors.shape
    (3, 2)
    """
    return _swept(scenario, allow_files, machine, axes, False)


def sweep_components(
    scenario: Mapping[str, Any] | Scenario,
    allow_files: bool = True,
    machine: Machine | None = None,
    **axes: Sequence[int],
) -> Sweep:
    """``sweep`` with ``components``: also what the tensors are at each point's highest instant."""
    return _swept(scenario, allow_files, machine, axes, True)


def _swept(
    scenario: Mapping[str, Any] | Scenario,
    allow_files: bool,
    machine: Machine | None,
    axes: Mapping[str, Sequence[int]],
    components: bool,
) -> Sweep:
    if isinstance(scenario, Mapping) and is_pipeline(scenario):
        return _pictures(scenario, machine, axes, components)
    base = Scenario.read(scenario)
    values = {name: _checked(name, given, base.task) for name, given in axes.items()}
    if not values:
        raise ScenarioError("a sweep needs at least one axis", "", _possible(base.task))
    device = device_for(base.hardware, machine)
    if base.task == "infer" and base.inference.prompt_tokens is None and "prompt_tokens" not in values:
        # A prompt that was not given is that of the scenario itself, not of the largest corner.
        base = Question.read(base, allow_files=allow_files).scenario
    corner = _with(base, {name: max(one) for name, one in values.items()})
    question = Question.read(corner, device.capability if device else 8.0, allow_files)
    shape = tuple(len(one) for one in values.values())
    if int(np.prod(shape, dtype=object)) > MOST_POINTS:
        raise ScenarioError(f"a sweep has at most {MOST_POINTS:,} points", next(iter(values)))
    if question.serving:
        return _served(base, values, shape, device, allow_files, components)
    parts = {name: np.zeros(shape, np.int64) for name in COMPONENTS} if components else None
    swings = np.zeros((2, *shape), np.int64)
    tensors = _grid(question, values, shape, parts=parts, swings=swings)
    low, high = _spread(question, values, tensors)
    along = _along(values)
    scratch = kernel_scratch(question, along.get("batch"), along.get("seq_len"))
    measured = device.calibration if device else None
    program = question.program()
    apart, ends = question.apart(program), question.kept_ends(program)
    waste = Moved(swings[0], swings[1], settled_gradients(question, program))
    above = overhead(tensors, (low, high), base, question.capability, scratch, waste, measured, apart, ends)
    return Sweep(
        {name: list(one) for name, one in values.items()},
        tensors,
        above.allocated[1],
        above.reserved[1],
        above.device[1],
        above.device[0],
        above.device[2],
        parts,
    )


def _served(
    base: Scenario,
    values: Mapping[str, list[int]],
    shape: tuple[int, ...],
    device: Device | None,
    allow_files: bool,
    components: bool,
) -> Sweep:
    """The grid of a serving runtime: plain arithmetic, so each point by itself."""
    found = {name: np.zeros(shape, np.int64) for name in ("tensors", "allocated", "reserved", "device", "low", "high")}
    parts = {name: np.zeros(shape, np.int64) for name in COMPONENTS} if components else None
    for place in np.ndindex(*shape):
        point = {name: one[i] for (name, one), i in zip(values.items(), place, strict=True)}
        question = Question.read(_with(base, point), device.capability if device else 8.0, allow_files)
        served = serve(question, device)
        above = overhead_of(served, device, base.hardware)
        found["tensors"][place] = found["allocated"][place] = above.allocated[1]
        found["reserved"][place] = above.reserved[1]
        found["low"][place], found["device"][place], found["high"][place] = above.device
        if parts is not None:
            for name, size in held(served).items():
                parts[name][place] = size
    return Sweep(
        {name: list(one) for name, one in values.items()},
        found["tensors"],
        found["allocated"],
        found["reserved"],
        found["device"],
        found["low"],
        found["high"],
        parts,
    )


def _pictures(
    scenario: Mapping[str, Any], machine: Machine | None, axes: Mapping[str, Sequence[int]], components: bool
) -> Sweep:
    """The grid of an image pipeline: each point by itself."""
    found = pictures.over(scenario, Shared(machine=machine).device, axes)
    return Sweep(
        {name: [int(value) for value in one] for name, one in axes.items()},
        found["tensors"],
        found["allocated"],
        found["reserved"],
        found["device"],
        found["low"],
        found["high"],
        {name: found[name] for name in COMPONENTS} if components else None,
    )


def _possible(task: str) -> tuple[str, ...]:
    return ("batch", "seq_len") if task == "train" else ("batch", "prompt_tokens", "new_tokens")


def _checked(name: str, given: Sequence[int], task: str) -> list[int]:
    if name not in _possible(task):
        raise ScenarioError(f"a sweep cannot run over {name} here", name, _possible(task))
    values = list(given)
    if not values:
        raise ScenarioError(f"the axis {name} is empty", name)
    field = name if name in ("batch", "seq_len") else f"inference.{name}"
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int | np.integer) or not 1 <= one < 2**31:
            raise ScenarioError(f"{field} must be whole numbers from 1, not {one!r}", field)
    return [int(one) for one in values]


def _with(base: Scenario, point: Mapping[str, int]) -> Scenario:
    """``base`` at one point of the grid."""
    inner = {name: value for name, value in point.items() if name not in ("batch", "seq_len")}
    inference = replace(base.inference, **inner) if inner else base.inference  # type: ignore[arg-type]
    return replace(
        base,
        batch=point.get("batch", base.batch),
        seq_len=point.get("seq_len", base.seq_len),
        inference=inference,
    )


def _along(values: Mapping[str, list[int]]) -> dict[str, Grid]:
    """Each axis's values as an array that lies along its own dimension."""
    found = {}
    for axis, (name, one) in enumerate(values.items()):
        sides = [1] * len(values)
        sides[axis] = len(one)
        found[name] = np.array(one, np.int64).reshape(sides)
    return found


def _grid(
    question: Question,
    values: Mapping[str, list[int]],
    shape: tuple[int, ...],
    spec: ModelSpec | None = None,
    parts: dict[str, Grid] | None = None,
    swings: Grid | None = None,
) -> Grid:
    """Peaks of the tensors over the grid (of an alternative ``spec``, if given); ``parts`` is filled with the
    components there, ``swings`` with what ``stages.moved`` finds. A batch or a length of 1 changes which reshapes copy,
    so those points are run apart from the others."""
    scenario = question.scenario
    program = question.program(spec)
    length = "seq_len" if scenario.task == "train" else "prompt_tokens"
    own = {
        "batch": scenario.batch,
        "seq_len": scenario.seq_len,
        "prompt_tokens": scenario.inference.prompt_tokens,
        "new_tokens": scenario.inference.new_tokens,
    }
    # The largest corner first, in Python's integers: nothing else can then leave 62 bits.
    at = {name: max(one) for name, one in values.items()}
    corner = {**own, **at}
    largest = highest(
        question.stages(
            program, corner["batch"], corner[length], corner["new_tokens"], corner["batch"] == 1, corner[length] == 1
        )
    )
    if largest > LIMIT // 64:
        raise ScenarioError(f"the largest point needs {binary(largest)}: a sweep refuses more than 64 PiB", "batch")
    result = np.zeros(shape, np.int64)
    names = list(values)
    windows, singly = _windows(question), _singly(question)
    apart = question.model.spec.by_batch and scenario.task == "infer"
    splits = [
        _split(values[name], (2,), apart) if name == "batch" else _split(values[name], (2, *windows), singly)
        for name in names
    ]
    for chosen in product(*splits):
        point: dict[str, Any] = dict(own)
        for axis, (name, places) in enumerate(zip(names, chosen, strict=True)):
            picked = [values[name][i] for i in places]
            if len(picked) == 1:
                point[name] = picked[0]
            else:
                spread_out = [1] * len(names)
                spread_out[axis] = len(picked)
                point[name] = np.array(picked, np.int64).reshape(spread_out)
        one_sequence = isinstance(point["batch"], int) and point["batch"] == 1
        one_token = isinstance(point[length], int) and point[length] == 1
        stages = question.stages(program, point["batch"], point[length], point["new_tokens"], one_sequence, one_token)
        sides = tuple(len(one) for one in chosen)
        result[np.ix_(*chosen)] = np.broadcast_to(highest(stages), sides)
        if swings is not None:
            for kept, size in zip(swings, moved(stages), strict=True):
                kept[np.ix_(*chosen)] = np.broadcast_to(size, sides)
        if parts is not None:
            for name, sizes in breakdowns(stages, sides).items():
                parts[name][np.ix_(*chosen)] = sizes
    return result


def _windows(question: Question) -> set[int]:
    """The widths of the model's attention windows."""
    return {one for one in question.model.spec.windows if one}


def _singly(question: Question) -> bool:
    """Whether the program is run for each length on its own (past and new tokens together decide when a window is
    full)."""
    return (bool(_windows(question)) and question.scenario.task == "infer") or question.model.spec.by_length


def lengths_are_free(scenario: Mapping[str, Any] | Scenario, allow_files: bool = True) -> bool:
    """Whether a sweep over many lengths costs hardly more than one over a single length: one run of the program answers
    for all of them.

    >>> lengths_are_free({"model": "gpt2", "task": "train"}), lengths_are_free({"model": "gemma-2-9b"})
    (True, False)
    """
    return not _singly(Question.read(scenario, allow_files=allow_files))


def _split(values: list[int], thresholds: tuple[int, ...], singly: bool) -> list[list[int]]:
    """The places of the values, grouped by which thresholds they reach: within a group the program takes one path.
    ``singly``: each value on its own."""
    groups: dict[tuple[bool, ...] | int, list[int]] = {}
    for place, one in enumerate(values):
        key = one if singly else tuple(one >= limit for limit in thresholds)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _spread(question: Question, values: Mapping[str, list[int]], tensors: Grid) -> tuple[Grid, Grid]:
    """The tensors' own (low, high) over the grid, as ``estimate.spread`` has them at a point."""
    if question.model.method != "generic":
        return widened(question.scenario, tensors, question.model.spec.family)
    low, high = tensors, tensors
    for spec in generic.alternatives(int(question.scenario.model["parameters"])):
        other = _grid(question, values, tensors.shape, spec)
        low, high = np.minimum(low, other), np.maximum(high, other)
    return low, high
