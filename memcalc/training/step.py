"""The training step as a timeline: load; forward and backward of each micro-batch; optimizer; and again.

The program runs once (twice where gradients are accumulated); its segments are laid onto the levels of
the first and of the second step, which differ by the optimizer's states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memcalc.architectures.decoder import Decoder, Run
from memcalc.formats import Format
from memcalc.tensors.autograd import Autocast, backward
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape, rounded
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments
from memcalc.timeline import Stage
from memcalc.training.optimizers import StepMemory
from memcalc.training.precision import Precision


@dataclass(slots=True)
class Micro:
    """One micro-batch on the tape: what came before it, its forward and its backward segments."""

    before: list[Segment]
    forward: list[Segment]
    backward: list[Segment]


def micro_batches(program: Decoder, run: Run, precision: Precision, tape: Tape, accumulate: bool) -> list[Micro]:
    """Run the program: the first micro-batch, and one more that adds to its gradients if ``accumulate``."""
    for parameter in program.parameters:
        parameter.uses, parameter.grad, parameter.buffer = 0, None, None
    marks: list[int] = []
    ids = _tokens(tape, run, "input ids")
    labels = _tokens(tape, run, "labels")
    for _ in range(2 if accumulate else 1):
        marks.append(len(tape.sections))
        tape.begin("forward", "embedding")
        loss = _forward(program, run, precision, tape, ids, labels)
        backward(tape, loss)
        del loss
    tape.begin("end", "end")
    marks.append(len(tape.sections) - 1)
    parts = segments(tape)
    micros = []
    for start, stop in zip(marks, marks[1:], strict=False):
        inside = [one for one in parts if start <= one.section < stop]
        micros.append(
            Micro(
                [one for one in parts if one.section < start],
                [one for one in inside if one.phase == "forward"],
                [one for one in inside if one.phase == "backward"],
            )
        )
    for parameter in program.parameters:
        parameter.grad = None
    return micros


def _tokens(tape: Tape, run: Run, name: str) -> Tensor:
    ids = fresh(tape, (run.batch, run.length), Format.INT64, name)
    ids.storage.record.name = name
    return ids


def _forward(
    program: Decoder, run: Run, precision: Precision, tape: Tape, ids: Tensor, labels: Tensor
) -> Tensor:
    tape.autocast = Autocast(precision.autocast) if precision.autocast else None
    loss = program.loss(tape, ids, labels, run)
    tape.autocast = None
    return loss


def weight_bytes(program: Decoder) -> int:
    """Parameters and buffers on the device, each rounded to the allocator's block."""
    total = sum(one.bytes() * one.repeat for one in program.parameters)
    for _, shape, fmt in program.buffers():
        count = 1
        for dim in shape:
            count *= dim
        total += rounded(count * fmt.size)
    return total


def stages(
    program: Decoder, micros: list[Micro], step: StepMemory, accumulation: int, keep_grads: bool, master: int
) -> Iterator[Stage]:
    """The whole run in order: load, two steps. ``master`` bytes of master weights live from the start."""
    weights = weight_bytes(program)
    trained = [one for one in program.parameters if one.trainable]
    gradients = sum(one.bytes() * one.repeat for one in trained)
    inputs = micros[0].before
    first, again = micros[0], micros[-1]
    states = step.state_bytes
    load = {"weights": weights, "gradients": 0, "optimizer": master + (states if step.at_load else 0)}
    yield Stage("load", 0, load, [], [])
    for number in (1, 2):
        held = 0 if number == 1 and not step.at_load else states
        base = {"weights": weights, "gradients": 0, "optimizer": master + held}
        full = {**base, "gradients": gradients}
        start = first
        begin = base
        if number == 2 and keep_grads:
            start, begin = again, full
        yield Stage("forward", number, begin, start.forward, inputs)
        yield Stage("backward", number, begin, start.backward, inputs + start.forward)
        if accumulation > 1:
            yield Stage("forward", number, full, again.forward, inputs)
            yield Stage("backward", number, full, again.backward, inputs + again.forward)
        after = {**full, "optimizer": master + states}
        temporary = step.first if number == 1 else step.later
        yield Stage("optimizer", number, after, [], inputs, temporary)
