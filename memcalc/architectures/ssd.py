"""Mamba-2's scan (state-space duality) as transformers computes it without kernels: chunks of tokens at once.

Mirrors ``mamba2_chunk_scan`` and ``mamba2_selective_state_update`` of transformers 5.23
models/mamba2/modeling_mamba2.py, which Bamba, Falcon-H1, Granite 4 and Zamba2 have too. All inner tensors are fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.run import Run
from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops import laid, scan, slices
from memcalc.tensors.ops.elementwise import for_autocast, fresh
from memcalc.tensors.ops.laid import Axes, Laid, Order
from memcalc.tensors.ops.matmul import cast_weight
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor

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

    @property
    def channels(self) -> int:
        """Channels of the convolution: those of the heads, and the projections of the state."""
        return self.inner + self.projections

    @property
    def projected(self) -> int:
        """Values of a token that the mixer is made of: gate, channels, time steps."""
        return self.inner + self.channels + self.heads


@dataclass(slots=True)
class Scanned:
    """What a scan reads: channels (batch, length, heads, width), time steps (batch, length, heads), both projections of
    the state (batch, length, groups, state); decay, skip and the time steps' bias, one a head."""

    channels: Tensor
    steps: Tensor
    entering: Tensor
    leaving: Tensor
    decay: Tensor
    skip: Parameter
    step_bias: Parameter


def scanned(index: int, run: Run, one: Ssd, state: State, read: Scanned) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Layer ``index``'s scan over a pass: its result (batch, length, inner), and what the model code's local variables
    hold of it until the block ends. A cache gets the layer's ``state``."""
    tape, fmt = read.channels.tape, read.channels.format
    out, ends = chunk_scan(one, read, run.batch, run.length)
    held: tuple[Tensor, ...] = (out,)
    if run.cache is not None:
        run.cache.state(tape, index, state, run.batch, fmt)
        held = (out, ends)
    return out.view(run.batch, run.length, one.inner), held


def chunk_scan(one: Ssd, read: Scanned, b: Size, s: Size) -> tuple[Tensor, Tensor]:
    """The scan over ``s`` tokens, filled up to whole chunks: the result (batch, s, heads, width), and the states at the
    end of every chunk, of which the cache takes the last. Letters: batch, tokens (t as given, s with those filled up),
    chunks, places l and m in a chunk, heads, width p, state n; y and z are the chunks' ends, one more than chunks."""
    tape, h = read.channels.tape, one.heads
    count = -(-s // one.chunk)
    whole = count * one.chunk
    sizes = {
        "b": b, "t": s, "s": whole, "c": count, "l": one.chunk, "m": one.chunk, "h": h, "p": one.width, "n": one.state,
        "y": count + 1, "z": count + 1,
    }  # fmt: skip
    ones = {name for name, size in sizes.items() if isinstance(size, int) and size == 1}
    axes = Axes(tape, sizes, frozenset(ones | {"b"} if tape.one_sequence else ones - {"b"}))
    steps = ops.add(read.steps, cast_weight(read.steps, read.step_bias, read.steps.format, False))
    steps = for_autocast(steps, WIDE)
    steps = scan.clamp(scan.softplus(steps))
    # The convolution has left channels before tokens.
    channels = Laid(ops.to(read.channels, WIDE), "bhpt")
    entering, leaving = (
        Laid(slices.repeated(ops.to(x, WIDE), axes.shape("bthn")), "bthn") for x in (read.entering, read.leaving)
    )
    skip = laid.times(axes, Laid(read.skip, "h"), _filled(axes, channels), "bshp")
    channels = laid.times(axes, channels, Laid(ops.to(steps, WIDE), "bth"), "bthp")
    decay = laid.times(axes, Laid(read.decay, "h"), Laid(ops.to(steps, WIDE), "bth"), "bth")
    channels, decay, entering, leaving = (_chunks(axes, x) for x in (channels, decay, entering, leaving))
    total = Laid(scan.cumsum(decay.value.view(*axes.shape("bhcl"))), "bhcl")
    decay = Laid(decay.tensor, "bhcl", decay.grad)
    lower = laid.exponential(axes, _segment_sums(axes, decay, "bhclm"))
    scores = laid.contracted(axes, leaving, _renamed(entering, "l", "m"), "bclmh")
    weighted = laid.times(axes, scores, lower, "bclmh")
    within = laid.contracted(axes, weighted, _renamed(channels, "l", "m"), "bclhp")
    last = ops.slice_last(total.value, 1)
    rest = Laid(scan.difference(last, total.value, axes.shape("bhcl")), "bhcl")
    del last
    to_end = laid.exponential(axes, rest)
    del rest
    decayed = laid.times(axes, entering, to_end, "bclhn")
    states = laid.contracted(axes, decayed, channels, "bchpn")
    first = fresh(tape, (b, 1, h, one.width, one.state), states.value.format, "zeros_like")
    states = _joined(axes, first, states)
    ends = ops.slice_last(total.value, 1).view(b, h, count)
    padded = Laid(slices.padded(ends, axes.shape("bhy")), "bhy")
    del ends
    across = laid.exponential(axes, _segment_sums(axes, padded, "bhyz"))
    del padded
    new = laid.contracted(axes, across, states, "byhpn")
    states = _starts(axes, new)
    from_start = laid.exponential(axes, total)
    between = laid.contracted(axes, leaving, states, "bclhp")
    off = laid.times(axes, between, from_start, "bclhp")
    output = _contiguous(axes, laid.summed(axes, within, off), "bclhp")
    out = ops.add(laid.merged(axes, output, "cl", "s", axes.shape("bshp")).value, skip.value)
    del output
    if isinstance(s, int) and whole > s:
        out = slices.select(out, axes.shape("bthp"))
    del steps, channels, entering, leaving, skip, decay, total, lower, scores, weighted, within, to_end, decayed, states
    del first, across, from_start, between, off
    return out, new.value


def _renamed(x: Laid, old: str, new: str) -> Laid:
    """The same tensor with another letter for a dimension; its gradient keeps the old one's place."""
    return Laid(x.tensor, x.order.replace(old, new), x.grad)


def _filled(axes: Axes, x: Laid) -> Laid:
    """``pad_tensor_by_size``, a copy also where no token is missing. It lies as x does: channels before tokens are
    torch's channels_last, which padding keeps."""
    order = x.order.replace("t", "s")
    return Laid(slices.padded(x.value, axes.shape(order)), order)


def _chunks(axes: Axes, x: Laid) -> Laid:
    """``reshape_into_chunks``."""
    filled = _filled(axes, x)
    return laid.merged(axes, filled, "s", "cl", axes.shape(filled.order.replace("s", "cl")))


def _segment_sums(axes: Axes, x: Laid, dims: str) -> Laid:
    """``segment_sum``: cumulative sums below a diagonal, under two masks."""
    tape = axes.tape
    square = axes.shape(dims[-2:])

    def below() -> Tensor:
        ones = fresh(tape, square, Format.BOOL, "ones")
        mask = fresh(tape, square, Format.BOOL, "tril")
        del ones
        return mask

    mask = below()
    wide = laid.widened(axes, x, fresh(tape, square, Format.BOOL, "bitwise_not"), dims)
    sums = scan.cumsum(wide.value)
    mask = below()
    out = Laid(scan.masked_fill(sums, fresh(tape, square, Format.BOOL, "bitwise_not")), dims)
    del mask, wide, sums
    return out


def _joined(axes: Axes, first: Tensor, states: Laid) -> Laid:
    """``torch.cat`` along the chunks: the gradient is a part of the whole's."""
    shape, back, its = states.value.shape, Order(), states.grad

    def backward(grad: Tensor) -> list[Tensor | None]:
        laid.settle(its, laid.arrived("bzhpn", back).replace("z", laid.GAP + "c"))
        return [grad.view(*shape)]

    out = operator(axes.tape, "cat", (states.value,), axes.shape("bzhpn"), states.value.format, backward)
    return Laid(out, "bzhpn", back)


def _starts(axes: Axes, ends: Laid) -> Laid:
    """``ends[:, :-1]``: backward fills a tensor of the whole size."""
    order, its = ends.order.replace("y", laid.GAP + "c"), ends.grad
    x = ends.value
    tape, whole, fmt = axes.tape, x.shape, x.format

    def backward(grad: Tensor) -> list[Tensor | None]:
        laid.settle(its, "byhpn")
        return [fresh(tape, whole, fmt, "slice (gradient)")]

    return Laid(Tensor(x.storage, axes.shape("bchpn"), fmt, graph_node(tape, (x,), backward), 0, True), order)


def _contiguous(axes: Axes, x: Laid, dims: str) -> Laid:
    """``.contiguous()`` as ``dims``."""
    if axes.merges(x.order, (dims,)):
        return x
    back, its = Order(), x.grad

    def backward(grad: Tensor) -> list[Tensor | None]:
        laid.settle(its, laid.arrived(dims, back))
        return [grad]

    out = operator(axes.tape, "clone", (x.value,), axes.shape(dims), x.value.format, backward)
    return Laid(out, dims, back)


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
