"""Mamba and Falcon-Mamba: blocks of one selective scan each, no attention, a state of constant size.

Mirrors transformers 5.23 models/mamba/modeling_mamba.py and models/falcon_mamba/modeling_falcon_mamba.py without the
kernels of mamba-ssm and causal-conv1d: the scan is a loop over the tokens in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Linear, Maker, Norm, activation, rms_norm
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec, State
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.quantised import QuantisedParameter
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


@dataclass(frozen=True, slots=True)
class MambaSpec(DecoderSpec):
    """Selective state spaces: channels of a layer (``inner``), values of a channel's state, taps of the convolution,
    rank of the time steps. ``wide_residual``: the residual stream is fp32 whatever the weights are; ``inner_norms``:
    norms without weights on time steps and projections."""

    inner: int = 1536
    state_size: int = 16
    kernel: int = 4
    rank: int = 48
    conv_bias: bool = True
    linear_bias: bool = False
    wide_residual: bool = True
    inner_norms: bool = False

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (0, 0), (0, 0)

    def states(self, layer: int) -> tuple[State, ...]:
        return scan_states(self)


@dataclass(slots=True)
class Mixer:
    """The layers and parameters of one block's mixer, and the block's norm."""

    norm: Norm
    linears: dict[str, Linear]
    a_log: Parameter
    skip: Parameter
    conv: Parameter
    conv_bias: Parameter | None


class Mamba(Decoder):
    """Norm, projection, convolution, selective scan, gate, projection."""

    spec: MambaSpec
    linear_names: ClassVar[tuple[str, ...]] = ("in_proj", "x_proj", "dt_proj", "out_proj")
    peft_targets: ClassVar[tuple[str, ...]] = ("in_proj", "x_proj", "out_proj")

    def build(self) -> None:
        self.blocks = [self.make_mixer(f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("norm_f", 1)

    def make_norm(self, path: str, repeat: int) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", self.spec.hidden, repeat=repeat)
        return lambda x: rms_norm(x, weight)

    def make_mixer(self, path: str, repeat: int) -> Mixer:
        """A block's parameters, in the order of named_parameters()."""
        spec = self.spec
        norm = self.make_norm(f"{path}norm", repeat)
        mixer = mamba_mixer(self.maker, f"{path}mixer", spec.hidden, spec, spec.conv_bias, spec.linear_bias, repeat)
        mixer.norm = norm
        return mixer

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        """The weights of norms that have none: they are only there for the kernels."""
        if not self.spec.inner_norms:
            return []
        sizes = (("dt", self.spec.inner), ("b", self.spec.state_size), ("c", self.spec.state_size))
        each: list[tuple[str, tuple[int, ...], Format]] = [
            (f"mixer.{name}_layernorm.weight", (size,), self.maker.format) for name, size in sizes
        ]
        return each * self.spec.layers

    def hidden_states(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        padding = run.padding
        if run.padded and padding is None:
            padding = fresh(tape, (run.batch, run.past + run.length), Format.INT64, "padding mask")
        inputs_embeds = self.embed_tokens(ids)
        hidden = inputs_embeds
        phase = tape.sections[-1].phase
        for index, template in enumerate(self.plan):
            tape.begin(phase, template.label, template.repeat, template.group)
            hidden = self.layer(index, hidden, run)
        tape.begin(phase, "head")
        hidden = self.norm(hidden)
        del inputs_embeds, padding
        return hidden

    def project_out(self, hidden: Tensor) -> Tensor:
        return ops.to(self.head(ops.to(hidden, self.maker.format)), Format.FP32)

    def layer(self, index: int, hidden: Tensor, run: Run) -> Tensor:
        """One block on hidden states (batch, length, hidden)."""
        one = self.blocks[index]
        residual = hidden
        narrow = ops.to(hidden, self.maker.format)
        normed = one.norm(narrow)
        del narrow
        if self.spec.wide_residual:
            residual = ops.to(residual, Format.FP32)
        normed = self.mix(index, one, normed, run)
        return ops.add(residual, normed)

    def mix(self, index: int, one: Mixer, hidden: Tensor, run: Run) -> Tensor:
        """The mixer on normed hidden states (batch, length, hidden)."""
        norms = [norm_without_weight] * 3 if self.spec.inner_norms else []
        return mixed(index, self.spec, one, hidden, run, norms)


def mamba_mixer(
    maker: Maker, path: str, hidden: int, scan: Scan, conv_bias: bool, linear_bias: bool, repeat: int
) -> Mixer:
    """The parameters of a mixer (no norm before it), in the order of named_parameters()."""
    inner, n = scan.inner, scan.state_size
    a_log = maker.parameter(f"{path}.A_log", inner, n, repeat=repeat)
    skip = maker.parameter(f"{path}.D", inner, repeat=repeat)
    conv = maker.parameter(f"{path}.conv1d.weight", inner, 1, scan.kernel, repeat=repeat)
    bias = maker.parameter(f"{path}.conv1d.bias", inner, repeat=repeat) if conv_bias else None
    shapes = [
        ("in_proj", hidden, 2 * inner, linear_bias),
        ("x_proj", inner, scan.rank + 2 * n, False),
        ("dt_proj", scan.rank, inner, True),
        ("out_proj", inner, hidden, linear_bias),
    ]
    linears = {one[0]: maker.linear(path, *one, repeat) for one in shapes}
    return Mixer(lambda x: x, linears, a_log, skip, conv, bias)


def masked(run: Run, tape: Tape) -> bool:
    """Whether padding is multiplied away: in the prompt only [masking_utils.py: create_recurrent_attention_mask]."""
    return run.padded and not tape.one_token


def mixed(index: int, spec: Scan, one: Mixer, hidden: Tensor, run: Run, norms: Sequence[Norm]) -> Tensor:
    """Mamba's mixer on normed hidden states (batch, length, hidden). ``norms``: of the time steps' ranks and of the two
    projections of the state, if there are any."""
    tape, fmt = hidden.tape, hidden.format
    b, s, inner, n = run.batch, run.length, spec.inner, spec.state_size
    decoding = run.cache is not None and (index, "recurrent") in run.cache.states
    if masked(run, tape):
        hidden = fresh(tape, hidden.shape, fmt, "mul (padding)")
    projected = one.linears["in_proj"](hidden)
    decay = rates(tape, one.a_log)
    conv, recurrent = scan_states(spec)
    channels = convolved(index, tape, run, conv, spec.activation, fmt, decoding)
    if masked(run, tape):
        channels = fresh(tape, (b, inner, s), fmt, "mul (padding)")
    # The product folds batch and length, which a tensor turned on its side only allows by a copy.
    copies = not tape.one_sequence and not tape.one_token
    held = [one.linears["x_proj"](ops.contiguous(channels, copies, (b, s, inner)))]
    if norms:
        parts = [held[0].view(b, s, width) for width in (spec.rank, n, n)]
        held = [norm(part) for norm, part in zip(norms, parts, strict=True)]
        del parts
    ranks = held.pop(0) if norms else held[0]  # without norms all are views of one tensor
    if isinstance(one.linears["dt_proj"].weight, QuantisedParameter):
        steps = ops.add_scalar(one.linears["dt_proj"](ranks))  # less the bias, which the scan adds
        del ranks
    else:
        steps = fresh(tape, (b, s, inner), fmt, "mm")
        del ranks
        steps = ops.contiguous(steps, not tape.one_token, (b, inner, s))
    bias = ops.to(fresh(tape, (inner,), fmt, "bias"), Format.FP32) if fmt is not Format.FP32 else None
    last = None
    if decoding:
        out = _stepped(tape, b, inner, n, fmt)
    else:
        out, last = _scanned(tape, b, s, inner, n, fmt)
        if run.cache is not None:
            run.cache.state(tape, index, recurrent, b, fmt)
    flat = ops.contiguous(ops.to(out, fmt), copies, (b, s, inner))
    out = one.linears["out_proj"](flat)
    del flat, projected, decay, channels, held, steps, bias, last
    return out


def convolved(index: int, tape: Tape, run: Run, state: State, act: str, fmt: Format, decoding: bool) -> Tensor:
    """The causal convolution along the length and its activation, (batch, channels, length); the cache keeps the last
    inputs as ``state`` (channels, taps). CUDA's kernel may copy its turned input first, which no trace sees."""
    channels, kernel = state.shape
    b = run.batch
    window = None
    if decoding:
        window = fresh(tape, (b, channels, kernel + 1), fmt, "cat (convolution)")
    elif run.cache is not None:
        run.cache.state(tape, index, state, b, fmt)
    out = fresh(tape, (b, channels, 2 if decoding else run.length + kernel - 1), fmt, "convolution")
    activated = activation(act, out.view(b, channels, run.length))
    del out, window
    return activated


def rates(tape: Tape, a_log: Parameter) -> Tensor:
    """``-exp(A_log.float())``, (inner, state)."""
    wide = fresh(tape, a_log.shape, Format.FP32, "to") if a_log.format is not Format.FP32 else None
    raised = fresh(tape, a_log.shape, Format.FP32, "exp")
    del wide
    out = fresh(tape, a_log.shape, Format.FP32, "neg")
    del raised
    return out


def _scanned(tape: Tape, b: Size, s: Size, inner: int, n: int, fmt: Format) -> tuple[Tensor, Tensor]:
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


def _stepped(tape: Tape, b: Size, inner: int, n: int, fmt: Format) -> Tensor:
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


def norm_without_weight(x: Tensor) -> Tensor:
    """``(x.float() * rsqrt(mean(x²) + ε)).type_as(x)``."""
    wide = ops.to(x, Format.FP32)
    out = ops.mul(wide, ops.rsqrt(ops.add_scalar(ops.mean_last(ops.power(wide)))))
    del wide
    return ops.to(out, x.format)
