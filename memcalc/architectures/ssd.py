"""Mamba-2's scan (state-space duality) as transformers computes it without kernels: chunks of tokens at once.

Mirrors ``mamba2_chunk_scan`` and ``mamba2_selective_state_update`` of transformers 5.23
models/mamba2/modeling_mamba2.py, which Bamba, Falcon-H1, Granite 4 and Zamba2 have too. All inner tensors are fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.run import Run
from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor

WIDE = Format.FP32


@dataclass(frozen=True, slots=True)
class Ssd:
    """Heads of a width, groups of heads that share their projections of the state, values of a channel's state, tokens
    of a chunk."""

    heads: int
    width: int
    groups: int
    state: int
    chunk: int

    @property
    def inner(self) -> int:
        """Channels of all heads."""
        return self.heads * self.width

    @property
    def projections(self) -> int:
        """Values of a token that say how it enters the state and what is read out of it."""
        return 2 * self.groups * self.state


def scanned(index: int, tape: Tape, run: Run, one: Ssd, state: State, fmt: Format) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Layer ``index``'s scan over a pass: its result (batch, length, inner), and what the model code's local variables
    hold of it until the block ends. A cache gets the layer's ``state``."""
    out, ends = chunk_scan(tape, one, run.batch, run.length, fmt)
    held: tuple[Tensor, ...] = (out,)
    if run.cache is not None:
        run.cache.state(tape, index, state, run.batch, fmt)
        held = (out, ends)
    return out.view(run.batch, run.length, one.inner), held


def chunk_scan(tape: Tape, one: Ssd, b: Size, s: Size, fmt: Format) -> tuple[Tensor, Tensor]:
    """The scan over ``s`` tokens, filled up to whole chunks: the result (batch, chunks · chunk, heads, width), and the
    states at the end of every chunk, of which the cache takes the last."""
    h, p, g, n, c = one.heads, one.width, one.groups, one.state, one.chunk
    count = -(-s // c)
    padded = count * c
    lone = tape.one_sequence and count == 1
    wide = fmt is WIDE

    def made(*shape: Size, op: str, fmt: Format = WIDE) -> Tensor:
        return fresh(tape, shape, fmt, op)

    def segment_sums(*shape: Size) -> Tensor:
        """``segment_sum``: cumulative sums (…, l, l) below a diagonal, under two masks."""
        last = shape[-1]
        square = (last, last)
        ones = fresh(tape, square, Format.BOOL, "ones")
        mask = fresh(tape, square, Format.BOOL, "tril")
        del ones
        other = fresh(tape, square, Format.BOOL, "bitwise_not")
        filled = made(*shape, last, op="masked_fill")
        del other
        sums = made(*shape, last, op="cumsum")
        ones = fresh(tape, square, Format.BOOL, "ones")
        mask, old = fresh(tape, square, Format.BOOL, "tril"), mask
        del ones, old
        other = fresh(tape, square, Format.BOOL, "bitwise_not")
        out = made(*shape, last, op="masked_fill")
        del other, sums, filled, mask
        return out

    biased = made(b, s, h, op="add", fmt=fmt)
    soft = made(b, s, h, op="softplus", fmt=fmt)
    del biased
    steps = made(b, s, h, op="clamp", fmt=fmt)
    del soft
    x = None if wide else made(b, s, h, p, op="to")
    copies = []
    for _ in range(2):
        narrow = None if wide else made(b, s, g, n, op="to")
        copies.append(made(b, s, h, n, op="repeat_interleave"))
        del narrow
    filled = made(b, padded, h, p, op="pad")
    skip = made(b, padded, h, p, op="mul")
    del filled
    narrow = None if wide else made(b, s, h, op="to")
    scaled = made(b, s, h, p, op="mul")
    del narrow, x
    narrow = None if wide else made(b, s, h, op="to")
    decay = made(b, s, h, op="mul")
    del narrow
    chunks = [made(b, padded, h, p, op="pad"), made(b, padded, h, op="pad")]
    chunks += [made(b, padded, h, n, op="pad") for _ in range(2)]
    del scaled, decay, copies
    summed = made(b, h, count, c, op="cumsum")
    exponents = segment_sums(b, h, count, c)
    lower = made(b, h, count, c, c, op="exp")
    del exponents
    turned = [] if lone else [made(b, count, h, c, n, op="clone") for _ in range(2)]
    scores = made(b, count, h, c, c, op="bmm")
    del turned
    weighted = made(b, count, h, c, c, op="mul")
    turned = [] if lone else [made(b, count, h, c, p, op="clone")]
    diagonal = made(b, count, h, c, p, op="bmm")
    del turned
    difference = made(b, h, count, c, op="sub")
    to_end = made(b, h, count, c, op="exp")
    del difference
    decayed = made(b, count, c, h, n, op="mul")
    turned = [] if lone else [made(b, count, h, c, p, op="clone"), made(b, count, h, c, n, op="clone")]
    states = made(b, count, h, p, n, op="bmm")
    del turned
    first = made(b, 1, h, p, n, op="zeros_like")
    states, old = made(b, count + 1, h, p, n, op="cat"), states
    del old
    filled = made(b, h, count + 1, op="pad")
    exponents = segment_sums(b, h, count + 1)
    del filled
    across = made(b, h, count + 1, count + 1, op="exp")
    del exponents
    turned = [] if tape.one_sequence else [made(b, h, count + 1, p, n, op="clone")]
    ends = made(b, h, count + 1, p, n, op="bmm")
    del turned, states
    from_start = made(b, h, count, c, op="exp")
    turned = [] if lone else [made(b, count, h, c, n, op="clone")]
    turned += [] if count == 1 else [made(b, count, h, n, p, op="clone")]
    read = made(b, count, h, c, p, op="bmm")
    del turned
    between = made(b, count, c, h, p, op="mul")
    total = made(b, count, c, h, p, op="add")
    out = made(b, padded, h, p, op="clone")
    del total
    out, old = made(b, padded, h, p, op="add"), out
    del old, skip, steps, chunks, summed, lower, scores, weighted, diagonal, to_end, decayed, first, across
    del from_start, read, between
    return out, ends


def step(tape: Tape, one: Ssd, b: Size, fmt: Format, gated: bool = False) -> Tensor:
    """One token from a cached fp32 state: (batch, heads, width); ``gated``: times silu(gate), there and then."""
    row, state = (b, one.heads, one.width), (b, one.heads, one.width, one.state)
    wide = fmt is WIDE
    spread = (b, one.heads, one.state)
    biased = fresh(tape, row, fmt, "add")
    steps = fresh(tape, row, fmt, "softplus")
    del biased
    narrow = None if wide else fresh(tape, row, WIDE, "to")
    exponents = fresh(tape, state, WIDE, "mul")
    del narrow
    decay = fresh(tape, state, WIDE, "exp")
    del exponents
    shared = one.groups != one.heads or not tape.one_sequence
    entering = fresh(tape, spread, fmt, "clone") if shared else None
    inputs = fresh(tape, state, fmt, "mul")
    driven = fresh(tape, state, fmt, "mul")
    kept = fresh(tape, state, WIDE, "mul")
    new = fresh(tape, state, WIDE, "add (state)")
    del kept
    reading = fresh(tape, spread, fmt, "clone") if shared else None
    if not wide:
        new, old = fresh(tape, state, fmt, "to"), new
        del old
    out = fresh(tape, row, fmt, "bmm")
    skip = fresh(tape, row, fmt, "mul")
    out = fresh(tape, row, fmt, "add")
    del skip
    if gated:
        gate = fresh(tape, row, fmt, "silu")
        out = fresh(tape, row, fmt, "mul")
        del gate
    del steps, decay, entering, inputs, driven, reading, new
    return out
