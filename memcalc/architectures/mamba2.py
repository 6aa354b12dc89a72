"""Mamba-2: one projection into gate, channels and time steps, a scan in chunks, a gated norm.

Mirrors transformers 5.23 models/mamba2/modeling_mamba2.py without the kernels of mamba-ssm and causal-conv1d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.layers import Maker
from memcalc.architectures.mamba import Mamba, MambaSpec, Mixer, masked
from memcalc.architectures.run import Run
from memcalc.architectures.selective_scan import convolved, rates
from memcalc.architectures.spec import State
from memcalc.architectures.ssd import Ssd, scanned, step
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor

CODESTRAL = Ssd(heads=128, width=64, groups=8, state=128, chunk=256)
"""The scan of Mamba-Codestral-7B, which Mamba2Config was made for."""


@dataclass(frozen=True, slots=True)
class Mamba2Spec(MambaSpec):
    """Mamba-2's scan: heads, groups and tokens of a chunk."""

    ssd: Ssd = CODESTRAL

    @property
    def channels(self) -> int:
        """Channels of the convolution: those of the heads, and the projections of the state."""
        return self.ssd.inner + self.ssd.projections

    def states(self, layer: int) -> tuple[State, ...]:
        return ssd_states(self.ssd, self.channels, self.kernel)

    @property
    def by_length(self) -> bool:
        """Chunks: whether there is one or several decides what is copied."""
        return True


def ssd_states(one: Ssd, channels: int, kernel: int) -> tuple[State, ...]:
    """The last inputs of the convolution in the model's format, and a matrix a head in fp32."""
    return (
        State("convolution", (channels, kernel)),
        State("recurrent", (one.heads, one.width, one.state), Format.FP32),
    )


@dataclass(slots=True)
class SsdMixer(Mixer):
    """A mixer with one number a head for its steps, and a gated norm."""

    step_bias: Parameter
    gated: Parameter


def ssd_mixer(maker: Maker, path: str, spec: Mamba2Spec, repeat: int) -> SsdMixer:
    """The parameters of a mixer (no norm before it), in the order of named_parameters()."""
    one = spec.ssd
    step_bias = maker.parameter(f"{path}.dt_bias", one.heads, repeat=repeat)
    a_log = maker.parameter(f"{path}.A_log", one.heads, repeat=repeat)
    skip = maker.parameter(f"{path}.D", one.heads, repeat=repeat)
    conv = maker.parameter(f"{path}.conv1d.weight", spec.channels, 1, spec.kernel, repeat=repeat)
    bias = maker.parameter(f"{path}.conv1d.bias", spec.channels, repeat=repeat) if spec.conv_bias else None
    wide = one.inner + spec.channels + one.heads
    linears = {"in_proj": maker.linear(path, "in_proj", spec.hidden, wide, spec.linear_bias, repeat)}
    gated = maker.parameter(f"{path}.norm.weight", one.inner, repeat=repeat)
    linears["out_proj"] = maker.linear(path, "out_proj", one.inner, spec.hidden, spec.linear_bias, repeat)
    return SsdMixer(lambda x: x, linears, a_log, skip, conv, bias, step_bias, gated)


class Mamba2(Mamba):
    """Adapters may reach both projections."""

    spec: Mamba2Spec
    linear_names: ClassVar[tuple[str, ...]] = ("in_proj", "out_proj")
    peft_targets: ClassVar[tuple[str, ...]] = ()

    def make_mixer(self, path: str, repeat: int) -> Mixer:
        norm = self.make_norm(f"{path}norm", repeat)
        mixer = ssd_mixer(self.maker, f"{path}mixer", self.spec, repeat)
        mixer.norm = norm
        return mixer

    def mix(self, index: int, one: Mixer, hidden: Tensor, run: Run) -> Tensor:
        assert isinstance(one, SsdMixer)
        return mixed(index, self.spec, one, hidden, run)


def mixed(index: int, spec: Mamba2Spec, one: SsdMixer, hidden: Tensor, run: Run) -> Tensor:
    """Mamba-2's mixer on normed hidden states (batch, length, hidden)."""
    tape, fmt, ssd = hidden.tape, hidden.format, spec.ssd
    b, s = run.batch, run.length
    decoding = run.cache is not None and (index, "recurrent") in run.cache.states
    if masked(run, tape):
        hidden = fresh(tape, hidden.shape, fmt, "mul (padding)")
    projected = one.linears["in_proj"](hidden)
    decay = rates(tape, one.a_log)
    conv, recurrent = spec.states(0)
    channels = convolved(index, tape, run, conv, spec.activation, fmt, decoding)
    if masked(run, tape):
        channels = fresh(tape, (b, spec.channels, s), fmt, "mul (padding)")
    hidden = channels  # the local variable's name
    held: tuple[Tensor, ...] = ()
    if decoding:
        out = step(tape, ssd, b, fmt).view(b, 1, ssd.inner)
    else:
        out, held = scanned(index, tape, run, ssd, recurrent, fmt)
    out = gated_norm(tape, out, one.gated, ssd.groups)
    out = one.linears["out_proj"](ops.to(out, fmt))
    del projected, decay, channels, hidden, held
    return out


def gated_norm(tape: Tape, x: Tensor, weight: Parameter, groups: int) -> Tensor:
    """MambaRMSNormGated: x (batch, length, inner) times silu(gate) in fp32, normed by groups, cast back."""
    shape, fmt = x.shape, x.format
    rows: tuple[Size, ...] = (*shape[:-1], groups)
    wide = None if fmt is Format.FP32 else fresh(tape, shape, Format.FP32, "to")
    narrow = None if weight.format is Format.FP32 else fresh(tape, shape, Format.FP32, "to (gate)")
    gate = fresh(tape, shape, Format.FP32, "silu")
    del narrow
    product = fresh(tape, shape, Format.FP32, "mul")
    del gate, wide
    squares = fresh(tape, shape, Format.FP32, "pow")
    means = fresh(tape, rows, Format.FP32, "mean")
    del squares
    shifted = fresh(tape, rows, Format.FP32, "add")
    roots = fresh(tape, rows, Format.FP32, "rsqrt")
    del shifted
    normed = fresh(tape, shape, Format.FP32, "mul")
    del roots, product
    narrow = None if fmt is Format.FP32 else fresh(tape, shape, fmt, "to")
    out = fresh(tape, shape, fmt, "mul")
    del normed, means, narrow
    return out
