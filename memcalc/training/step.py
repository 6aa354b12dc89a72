"""The training step as a timeline: load; forward and backward of each micro-batch; optimizer; and again.

The program runs once (twice where gradients are accumulated); its segments are laid onto the levels of
the first and of the second step, which differ by the optimizer's states.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from memcalc.architectures.program import Inputs, Program
from memcalc.architectures.run import Run
from memcalc.scenario import Training
from memcalc.stages import Stage
from memcalc.tensors.autograd import Autocast, backward
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments
from memcalc.training.precision import Precision
from memcalc.training.standing import Standing


@dataclass(slots=True)
class Micro:
    """One micro-batch on the tape: what came before it, its forward and its backward segments."""

    before: list[Segment]
    forward: list[Segment]
    backward: list[Segment]

    def sums(self) -> Micro:
        """The same without the tensors: enough for peaks, and light enough to be kept in numbers."""
        return Micro(*([one.sums() for one in part] for part in (self.before, self.forward, self.backward)))


def micro_batches(program: Program, run: Run, precision: Precision, tape: Tape, accumulate: bool) -> list[Micro]:
    """Run the program: the first micro-batch, and one more that adds to its gradients if ``accumulate``."""
    for parameter in program.parameters:
        parameter.uses, parameter.grad, parameter.buffer = 0, None, None
    marks: list[int] = []
    inputs = program.inputs(tape, run)
    for _ in range(2 if accumulate else 1):
        marks.append(len(tape.sections))
        tape.begin("forward", "embedding")
        loss = _forward(program, run, precision, tape, inputs)
        backward(tape, loss)
        del loss
        if tape.watch is not None:
            tape.watch.finish(tape)
    tape.begin("end", "end")
    marks.append(len(tape.sections) - 1)
    parts = segments(tape)
    micros = []
    for start, stop in itertools.pairwise(marks):
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


def _forward(program: Program, run: Run, precision: Precision, tape: Tape, inputs: Inputs) -> Tensor:
    tape.autocast = Autocast(precision.autocast) if precision.autocast else None
    loss = program.loss(tape, inputs, run)
    tape.autocast = None
    return loss


def stages(micros: list[Micro], settings: Training, held: Standing) -> Iterator[Stage]:
    """The whole run in order: load, then two steps of micro-batches and optimizer."""
    step = held.step
    inputs = micros[0].before
    again = micros[-1]
    first = again if held.gradients_stay else micros[0]
    stay = (held.gradients if held.gradients_stay else 0) + held.buckets
    owned = held.masters + held.ema
    usual = {"weights": held.weights, "gradients": stay, "optimizer": owned, "temporary": held.buffers}
    yield Stage("load", 0, usual, [], [])
    for number in (1, 2):
        states = step.state_bytes if number == 2 or step.at_load else 0
        begin = {**usual, "optimizer": owned + states}
        full = {**begin, "gradients": held.gradients + held.buckets}
        start, base = first, begin
        if number == 2 and settings.zero_grad == "keep":
            start, base = again, full
        yield Stage("forward", number, base, start.forward, inputs)
        yield Stage("backward", number, base, start.backward, inputs + start.forward)
        if settings.grad_accumulation > 1:
            yield Stage("forward", number, full, again.forward, inputs)
            yield Stage("backward", number, full, again.backward, inputs + again.forward)
        temporary = held.temporary(number)
        unmade = step.unmade if number == 1 and temporary == held.copies + step.first else 0
        made = owned + step.state_bytes - unmade
        after = {**full, "gradients": held.stepped + held.buckets, "optimizer": made}
        yield Stage("optimizer", number, after, [], inputs, temporary + unmade)
