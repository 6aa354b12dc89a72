"""Mamba and Falcon-Mamba: blocks of one selective scan each, no attention, a state of constant size.

Mirrors transformers 5.23 models/mamba/modeling_mamba.py and models/falcon_mamba/modeling_falcon_mamba.py without the
kernels of mamba-ssm and causal-conv1d: the scan is a loop over the tokens in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Linear, Maker, Norm, rms_norm
from memcalc.architectures.program import required, run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.selective_scan import Scan, Selective, convolved, rates, scan_states, scanned, stepped
from memcalc.architectures.spec import DecoderSpec, State
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import scan
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.quantised import QuantisedParameter
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor


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

    @property
    def by_length(self) -> bool:
        """A loop over the tokens (or Mamba-2's chunks: whether there is one or several decides what is copied)."""
        return True


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
    peft_targets: ClassVar[tuple[str, ...]] = ("in_proj", "x_proj")

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
        required(tape, run, inputs_embeds)
        run = replace(run, padding=padding)
        kept = [padding] if padding is not None else []
        hidden = run_blocks(tape, self.plan, inputs_embeds, run, kept, lambda index, x: self.layer(index, x, run))
        phase = tape.sections[-1].phase
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
        hidden = scan.times_mask(hidden, run.padding)
    projected = one.linears["in_proj"](hidden)
    decay = rates(hidden, one.a_log)
    conv, recurrent = scan_states(spec)
    channels, gate = ops.split_last(projected, [inner, inner])
    channels = convolved(index, channels.view(b, inner, s), one.conv, one.conv_bias, run, conv, spec.activation)
    if masked(run, tape):
        channels = scan.times_mask(channels, run.padding)
    # The product folds batch and length, which a tensor turned on its side only allows by a copy.
    copies = not tape.one_sequence and not tape.one_token
    held = [one.linears["x_proj"](ops.contiguous(channels, copies, (b, s, inner)))]
    ranks, entering, leaving = ops.split_last(held[0], [spec.rank, n, n])
    if norms:
        ranks, entering, leaving = (norm(x) for norm, x in zip(norms, (ranks, entering, leaving), strict=True))
        held = []
    steps = time_steps(one.linears["dt_proj"], ranks, (b, inner, s))
    del ranks
    bias = one.linears["dt_proj"].bias
    assert bias is not None
    read = Selective(
        channels.view(b, inner, s), gate.view(b, inner, s), steps, entering, leaving, decay, one.skip,
        scan.widened(bias, hidden),
    )  # fmt: skip
    last = None
    if decoding:
        out = stepped(tape, b, inner, n, channels.format)
    else:
        out, last = scanned(read, s)
        if run.cache is not None:
            run.cache.state(tape, index, recurrent, b, fmt)
    flat = ops.contiguous(ops.to(out, fmt), copies, (b, s, inner))
    out = one.linears["out_proj"](flat)
    del flat, projected, decay, channels, held, steps, bias, last, gate, read, entering, leaving
    return out


def time_steps(projection: Linear, ranks: Tensor, shape: Shape) -> Tensor:
    """The time steps (batch, channels, length) without their bias, which the scan adds: a product with the matrix
    itself, past any adapter; of a quantised layer, its result less the bias."""
    if isinstance(projection.weight, QuantisedParameter):
        return ops.add_scalar(projection(ranks)).view(*shape)
    return ops.contiguous(ops.linear(ranks, projection.weight), not ranks.tape.one_token, shape)


def norm_without_weight(x: Tensor) -> Tensor:
    """``(x.float() * rsqrt(mean(x²) + ε)).type_as(x)``."""
    wide = ops.to(x, Format.FP32)
    out = ops.mul(wide, ops.rsqrt(ops.add_scalar(ops.mean_last(ops.power(wide)))))
    del wide
    return ops.to(out, x.format)
