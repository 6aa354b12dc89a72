"""Mamba-2: one projection into gate, channels and time steps, a scan in chunks, a gated norm.

Mirrors transformers 5.23 models/mamba2/modeling_mamba2.py without the kernels of mamba-ssm and causal-conv1d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from memcalc.architectures.layers import Maker
from memcalc.architectures.mamba import Mamba, MambaSpec, Mixer, masked
from memcalc.architectures.run import Run
from memcalc.architectures.selective_scan import convolved, rates
from memcalc.architectures.spec import State
from memcalc.architectures.ssd import Scanned, Ssd, scanned, step
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import scan
from memcalc.tensors.tensor import Parameter, Tensor

CODESTRAL = Ssd(heads=128, width=64, groups=8, state=128, chunk=256)
"""The scan of Mamba-Codestral-7B, which Mamba2Config was made for."""


@dataclass(frozen=True, slots=True)
class Mamba2Spec(MambaSpec):
    """Mamba-2's scan: heads, groups and tokens of a chunk."""

    ssd: Ssd = CODESTRAL

    def states(self, layer: int) -> tuple[State, ...]:
        return ssd_states(self.ssd, self.kernel)


def ssd_states(one: Ssd, kernel: int) -> tuple[State, ...]:
    """The last inputs of the convolution in the model's format, and a matrix a head in fp32."""
    return (
        State("convolution", (one.channels, kernel)),
        State("recurrent", (one.heads, one.width, one.state), Format.FP32),
    )


@dataclass(slots=True)
class SsdMixer(Mixer):
    """A mixer with one number a head for its steps, and a gated norm."""

    step_bias: Parameter
    gated: Parameter


class Mixed(Protocol):
    """What a mixer is made of: see Mamba2Spec."""

    @property
    def ssd(self) -> Ssd: ...
    @property
    def kernel(self) -> int: ...
    @property
    def conv_bias(self) -> bool: ...
    @property
    def linear_bias(self) -> bool: ...
    @property
    def hidden(self) -> int: ...
    @property
    def activation(self) -> str: ...


def ssd_mixer(maker: Maker, path: str, spec: Mixed, repeat: int) -> SsdMixer:
    """The parameters of a mixer (no norm before it), in the order of named_parameters()."""
    one = spec.ssd
    step_bias = maker.parameter(f"{path}.dt_bias", one.heads, repeat=repeat)
    a_log = maker.parameter(f"{path}.A_log", one.heads, repeat=repeat)
    skip = maker.parameter(f"{path}.D", one.heads, repeat=repeat)
    conv = maker.parameter(f"{path}.conv1d.weight", spec.ssd.channels, 1, spec.kernel, repeat=repeat)
    bias = maker.parameter(f"{path}.conv1d.bias", spec.ssd.channels, repeat=repeat) if spec.conv_bias else None
    wide = one.projected
    linears = {"in_proj": maker.linear(path, "in_proj", spec.hidden, wide, spec.linear_bias, repeat)}
    gated = maker.parameter(f"{path}.norm.weight", one.inner, repeat=repeat)
    linears["out_proj"] = maker.linear(path, "out_proj", one.inner, spec.hidden, spec.linear_bias, repeat)
    return SsdMixer(lambda x: x, linears, a_log, skip, conv, bias, step_bias, gated)


class Mamba2(Mamba):
    """Adapters reach the first projection only (memcalc.recurrent); PEFT names none by itself."""

    spec: Mamba2Spec
    linear_names: ClassVar[tuple[str, ...]] = ("in_proj", "out_proj")
    peft_targets: ClassVar[tuple[str, ...]] = ("in_proj",)

    def make_mixer(self, path: str, repeat: int) -> Mixer:
        norm = self.make_norm(f"{path}norm", repeat)
        mixer = ssd_mixer(self.maker, f"{path}mixer", self.spec, repeat)
        mixer.norm = norm
        return mixer

    def mix(self, index: int, one: Mixer, hidden: Tensor, run: Run) -> Tensor:
        assert isinstance(one, SsdMixer)
        return mixed(index, self.spec, one, hidden, run)


def mixed(index: int, spec: Mixed, one: SsdMixer, hidden: Tensor, run: Run, act: str | None = None) -> Tensor:
    """Mamba-2's mixer on normed hidden states (batch, length, hidden). ``act``: of its convolution, if that is not the
    model's own."""
    tape, fmt, ssd = hidden.tape, hidden.format, spec.ssd
    b, s = run.batch, run.length
    decoding = run.cache is not None and (index, "recurrent") in run.cache.states
    if masked(run, tape):
        hidden = scan.times_mask(hidden, run.padding)
    projected = one.linears["in_proj"](hidden)
    decay = rates(hidden, one.a_log)
    conv, recurrent = ssd_states(ssd, spec.kernel)
    gate, channels, steps = ops.split_last(projected, [ssd.inner, spec.ssd.channels, ssd.heads])
    channels = channels.view(b, spec.ssd.channels, s)
    channels = convolved(index, channels, one.conv, one.conv_bias, run, conv, act or spec.activation)
    channels = channels.view(b, s, spec.ssd.channels)
    if masked(run, tape):
        channels = scan.times_mask(channels, run.padding)
    hidden = channels  # the local variable's name
    held: tuple[Tensor, ...] = ()
    if decoding:
        out = step(tape, ssd, b, channels.format).view(b, 1, ssd.inner)
    else:
        out, held = scanned(index, run, ssd, recurrent, reading(ssd, channels, steps, decay, one))
    out = gated_norm(out, gate, one.gated, ssd.groups)
    out = one.linears["out_proj"](ops.to(out, fmt))
    del projected, decay, channels, gate, steps, hidden, held
    return out


class Heads(Protocol):
    """A mixer's parameters of one number a head."""

    skip: Parameter
    step_bias: Parameter


def reading(ssd: Ssd, channels: Tensor, steps: Tensor, decay: Tensor, one: Heads) -> Scanned:
    """What the scan reads out of the convolution's result (batch, length, channels)."""
    b, s = channels.shape[:2]
    half = ssd.groups * ssd.state
    x, entering, leaving = ops.split_last(channels, [ssd.inner, half, half])
    x = x.view(b, s, ssd.heads, ssd.width)
    entering, leaving = (part.view(b, s, ssd.groups, ssd.state) for part in (entering, leaving))
    return Scanned(x, steps, entering, leaving, decay, one.skip, one.step_bias)


def gated_norm(x: Tensor, gate: Tensor, weight: Parameter, groups: int) -> Tensor:
    """MambaRMSNormGated: x (batch, length, inner) times silu(gate) in fp32, normed by groups, cast back."""
    shape, fmt = x.shape, x.format
    x = ops.to(x, Format.FP32)
    x = ops.mul(x, ops.silu(ops.to(gate, Format.FP32)))
    grouped = x.view(*shape[:-1], groups, shape[-1] // groups)
    variance = ops.mean_last(ops.power(grouped))
    grouped = ops.mul(grouped, ops.rsqrt(ops.add_scalar(variance)))
    x = grouped.view(*shape)
    out = ops.mul(ops.to(x, fmt), weight)
    del variance
    return out
