"""Mamba's convolution and selective scan, as transformers computes them without the kernels of other packages: token by
token in Python.

Mirrors ``causal_conv1d_fn``, ``causal_conv1d_update``, ``mamba_selective_scan`` and ``mamba_selective_state_update`` of
transformers 5.23 models/mamba/modeling_mamba.py, which Falcon-Mamba and Jamba have too.
"""

from __future__ import annotations

from typing import Protocol

from memcalc.architectures.layers import activation
from memcalc.architectures.run import Run, at_least
from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import scan
from memcalc.tensors.ops.elementwise import fresh
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
    index: int, x: Tensor, weight: Parameter, bias: Parameter | None, run: Run, state: State, act: str
) -> Tensor:
    """The causal convolution of x (batch, channels, length) along the length and its activation; the cache keeps the
    last inputs as ``state`` (channels, taps). CUDA's kernel may copy its turned input first, which no trace sees."""
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
    activated = ops.to(activation(act, out), x.format)
    del out, window
    if run.cache is None:
        return activated
    return activated.view(b, channels, run.length)


def rates(tape_of: Tensor, a_log: Parameter) -> Tensor:
    """``-exp(A_log.float())``, (inner, state). ``tape_of``: a tensor on the tape."""
    return ops.neg(scan.exp_of(a_log, tape_of))


def scanned(tape: Tape, b: Size, s: Size, inner: int, n: int, fmt: Format) -> tuple[Tensor, Tensor]:
    """The selective scan over whole sequences, token by token in Python: the result (batch, inner, length) in fp32, and
    the last state (batch, inner, n). Transition and input of every token, (batch, inner, length, n), are there at once
    in fp32; every token's result waits, a tensor of its own, until all are joined."""
    grid, state = (b, inner, s, n), (b, inner, n)
    wide = Format.FP32
    skips = fresh(tape, (inner,), wide, "to") if fmt is not wide else None  # D in fp32, an argument
    biased = fresh(tape, (b, inner, s), fmt, "add")
    steps = fresh(tape, (b, inner, s), fmt, "softplus")
    del biased
    exponents = fresh(tape, grid, wide, "mul")
    transition = fresh(tape, grid, wide, "exp")
    del exponents
    narrow = fresh(tape, (b, 1, s, n), wide, "to") if fmt is not wide else None
    inputs = fresh(tape, grid, wide, "mul")
    del narrow
    narrow = fresh(tape, (b, inner, s, 1), wide, "to") if fmt is not wide else None
    driven = fresh(tape, grid, wide, "mul")
    del narrow
    results = fresh(tape, (s - 1, rounded(b * inner * fmt.size)), Format.UINT8, "results by token")
    old = fresh(tape, state, wide, "add (state)")
    decayed = fresh(tape, state, wide, "mul")
    last = fresh(tape, state, wide, "add (state)")
    del decayed, old
    narrow = fresh(tape, state, fmt, "to") if fmt is not wide else None
    newest = fresh(tape, (b, inner), fmt, "bmm")
    del narrow
    out = fresh(tape, (b, inner, s), fmt, "stack")
    skip = fresh(tape, (b, inner, s), wide, "mul")
    out = fresh(tape, (b, inner, s), wide, "add")
    del skip
    gate = fresh(tape, (b, inner, s), fmt, "silu")
    out = fresh(tape, (b, inner, s), wide, "mul")
    del gate, steps, transition, inputs, driven, results, newest, skips
    return out, last


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
