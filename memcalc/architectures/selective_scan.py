"""Mamba's convolution and selective scan, as transformers computes them without the kernels of other packages: token by
token in Python.

Mirrors ``causal_conv1d_fn``, ``causal_conv1d_update``, ``mamba_selective_scan`` and ``mamba_selective_state_update`` of
transformers 5.23 models/mamba/modeling_mamba.py, which Falcon-Mamba and Jamba have too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from memcalc.architectures.layers import activation
from memcalc.architectures.run import Run, at_least
from memcalc.architectures.spec import State
from memcalc.architectures.tokens import FIRST, grown, shown, skipped
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import Source, operator, result
from memcalc.tensors.ops import laid, scan, slices
from memcalc.tensors.ops.elementwise import for_autocast, fresh
from memcalc.tensors.ops.laid import Axes, Laid
from memcalc.tensors.tape import Size, Tape, rounded
from memcalc.tensors.tensor import Parameter, Tensor


class Scan(Protocol):
    """The sizes of a selective scan: channels (``inner``), values of a channel's state, taps of the convolution, rank
    of the time steps."""

    @property
    def inner(self) -> int: ...
    @property
    def state_size(self) -> int: ...
    @property
    def kernel(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def activation(self) -> str: ...


def scan_states(scan: Scan) -> tuple[State, State]:
    """The last inputs of the convolution in the model's format; the scan's state as the scan leaves it, in fp32."""
    return (
        State("convolution", (scan.inner, scan.kernel)),
        State("recurrent", (scan.inner, scan.state_size), Format.FP32),
    )


def convolved(
    index: int, x: Tensor, weight: Parameter, bias: Parameter | None, run: Run, state: State, act: str | None = None
) -> Tensor:
    """The causal convolution of x (batch, channels, length) along the length, and its activation if it has one; the
    cache keeps the last inputs as ``state`` (channels, taps). CUDA's kernel may copy its turned input first, which no
    trace sees."""
    channels, kernel = state.shape
    tape, b, length = x.tape, run.batch, run.length
    window = None
    if run.cache is not None and (index, state.name) in run.cache.states and tape.one_token:
        window = fresh(tape, (b, channels, kernel + 1), x.format, "cat (convolution)")
        out = fresh(tape, (b, channels, 2), x.format, "convolution").view(b, channels, 1)
    else:
        if run.cache is not None:
            run.cache.state(tape, index, state, b, x.format)
            # The cache fills a prompt of fewer tokens than taps up, and that is what is convolved.
            window = fresh(tape, (b, channels, (length < kernel) * kernel), x.format, "pad (convolution)")
            x = x.view(b, channels, at_least(length, kernel))
        out = scan.causal_convolution(x, weight, bias)
    activated = ops.to(activation(act, out) if act else out, x.format)
    del out, window
    if run.cache is None:
        return activated
    return activated.view(b, channels, run.length)


def rates(tape_of: Tensor, a_log: Parameter) -> Tensor:
    """``-exp(A_log.float())``, (inner, state). ``tape_of``: a tensor on the tape."""
    return ops.neg(scan.exp_of(a_log, tape_of))


@dataclass(slots=True)
class Selective:
    """What a scan reads: channels, gate and time steps (batch, inner, length), both projections of the state (batch,
    length, state); decay (inner, state), skip and the time steps' bias in fp32, one a channel."""

    channels: Tensor
    gate: Tensor
    steps: Tensor
    entering: Tensor
    leaving: Tensor
    decay: Tensor
    skip: Parameter
    step_bias: Source


def narrowed(bias: Source, steps: Tensor) -> Tensor:
    """``bias.to(steps.dtype)``."""

    def backward(grad: Tensor) -> list[Tensor | None]:
        return [grad]

    return operator(steps.tape, "to", (bias,), bias.shape, steps.format, backward)


def scanned(read: Selective, s: Size) -> tuple[Tensor, Tensor]:
    """The selective scan over whole sequences, token by token in Python: the result (batch, inner, length) in fp32, and
    the last state (batch, inner, n). Transition and input of every token, (batch, inner, length, n), are there at once
    in fp32; every token's result waits, a tensor of its own, until all are joined."""
    x, tape, fmt = read.channels, read.channels.tape, read.channels.format
    (b, inner), n = x.shape[:2], read.decay.shape[1]
    axes = Axes(tape, {"b": b, "i": inner, "t": s, "n": n})
    skip = scan.widened(read.skip, x)
    bias = read.step_bias
    if read.steps.format is not Format.FP32:
        bias = narrowed(bias, read.steps)
    biased = ops.add(read.steps, bias)
    del bias
    steps = Laid(scan.softplus(for_autocast(biased, Format.FP32)), "bit")
    del biased
    transition = scan.exp(laid.times(axes, Laid(read.decay, "in"), steps, "bitn").value)
    inputs = laid.times(axes, steps, Laid(ops.to(read.entering, Format.FP32), "btn"), "bitn")
    driven = laid.times(axes, inputs, Laid(ops.to(x, Format.FP32), "bit"), "bitn").value
    out, state, results = _loop(transition, driven, read.leaving, fmt, s)
    out = ops.add(out, laid.times(axes, Laid(x, "bit"), Laid(skip, "i"), "bit").value)
    out = ops.mul(out, ops.silu(read.gate))
    del steps, transition, inputs, driven, skip, results
    return out, state


def _loop(
    transition: Tensor, driven: Tensor, leaving: Tensor, fmt: Format, s: Size
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """``state = transition * state + driven`` and what is read out of it, for every token: all results (batch, inner,
    s) in ``fmt``, the last state, and what holds each token's result."""
    tape, (b, inner, _, n) = transition.tape, transition.shape
    row, each = (b, inner, n), rounded(b * inner * fmt.size)
    state = fresh(tape, row, fmt, "zeros (state)")
    results: list[Tensor] = []
    others = None
    runs = shown(s)
    # A block computed again finds the products that were kept.
    found = tape.selective and tape.saving is not None and tape.saving.replays
    for i in range(runs):
        start = len(tape.events)
        state = ops.add(ops.mul(slices.select(transition, row), state), slices.select(driven, row))
        made = ops.batched_product(ops.to(state, fmt), slices.select(leaving, (b, n, 1)), (b, inner, 1))
        results.append(slices.select(made, (b, inner)))
        if i == FIRST - 1 and s > runs:
            if tape.grad_enabled:
                own = fmt is Format.FP32  # nothing is cast before it is read
                state = skipped((state,), s - runs, grown(tape, start) - (0 if found else each), own)[0]
            shape = (s - runs, each)
            others = Tensor(result(tape, shape, Format.UINT8, "bmm"), shape, Format.UINT8)
    out = slices.joined(results, (b, inner, s))
    del made
    return out, state, results if others is None else [*results, others]


def stepped(tape: Tape, b: Size, inner: int, n: int, fmt: Format) -> Tensor:
    """The scan's single step from a cached state: (batch, inner)."""
    wide, row, state = Format.FP32, (b, inner), (b, inner, n)
    same = fmt is wide

    def to(shape: tuple[Size, ...]) -> Tensor | None:
        return None if same else fresh(tape, shape, wide, "to")

    biased = fresh(tape, row, fmt, "add")
    steps = fresh(tape, row, fmt, "softplus")
    del biased
    widened = to(row)
    exponents = fresh(tape, state, wide, "mul")
    del widened
    transition = fresh(tape, state, wide, "exp")
    del exponents
    widened, other = to(row), to((b, n))
    inputs = fresh(tape, state, wide, "mul")
    del other
    widened = to(row)
    driven = fresh(tape, state, wide, "mul")
    del widened
    decayed = fresh(tape, state, wide, "mul")
    new = fresh(tape, state, wide, "add (state)")
    del decayed
    narrow = None if same else fresh(tape, state, fmt, "to")
    out = fresh(tape, row, fmt, "bmm")
    del narrow
    skip = fresh(tape, row, fmt, "mul")
    out = fresh(tape, row, fmt, "add")
    del skip
    gate = fresh(tape, row, fmt, "silu")
    out = fresh(tape, row, fmt, "mul")
    del gate, steps, transition, inputs, driven, new
    return out
