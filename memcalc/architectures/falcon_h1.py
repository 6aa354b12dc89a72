"""Falcon-H1: attention and a Mamba-2 mixer side by side in every block, and multipliers on everything.

Mirrors transformers 5.23 models/falcon_h1/modeling_falcon_h1.py without the kernels of mamba-ssm and causal-conv1d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.layers import Linear, Norm, activation
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.mamba import masked
from memcalc.architectures.mamba2 import CODESTRAL, reading, ssd_states
from memcalc.architectures.run import Run
from memcalc.architectures.selective_scan import convolved, rates
from memcalc.architectures.spec import DecoderSpec, State
from memcalc.architectures.ssd import Ssd, scanned, step
from memcalc.formats import Format, wider
from memcalc.tensors import ops
from memcalc.tensors.autograd import operator
from memcalc.tensors.ops import scan
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class FalconH1Spec(DecoderSpec):
    """The mixer beside each attention: its scan, taps of its convolution, its biases; ``inner_norm``: whether its
    result is normed, ``norm_first``: before it is gated."""

    ssd: Ssd = CODESTRAL
    kernel: int = 4
    conv_bias: bool = True
    in_bias: bool = False
    out_bias: bool = False
    inner_norm: bool = False
    norm_first: bool = True

    def states(self, layer: int) -> tuple[State, ...]:
        return ssd_states(self.ssd, self.kernel)

    @property
    def by_length(self) -> bool:
        """Chunks: whether there is one or several decides what is copied."""
        return True


@dataclass(slots=True)
class HybridBlock(Block):
    """A block's attention and feed-forward, and its mixer's own layers and parameters."""

    mixer: dict[str, Linear]
    a_log: Parameter
    skip: Parameter
    step_bias: Parameter
    conv: Parameter
    conv_bias: Parameter | None
    inner_norm: Parameter | None


class FalconH1(Llama):
    """Every multiplication makes a tensor, whatever the factor."""

    spec: FalconH1Spec
    linear_names = (*Llama.linear_names, "in_proj", "out_proj")
    peft_targets: ClassVar[tuple[str, ...]] = (*Llama.linear_names, "in_proj")
    norm_names = ("input_layernorm", "pre_ff_layernorm")

    def build(self) -> None:
        self.blocks = [self.make_block(f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("final_layernorm", self.spec.hidden)

    def make_block(self, path: str, repeat: int) -> Block:
        spec, maker = self.spec, self.maker
        mlp, mamba, attn = f"{path}feed_forward", f"{path}mamba", f"{path}self_attn"
        linears = {one[0]: maker.linear(mlp, *one, repeat) for one in self.mlp_linears()}
        step_bias = maker.parameter(f"{mamba}.dt_bias", spec.ssd.heads, repeat=repeat)
        a_log = maker.parameter(f"{mamba}.A_log", spec.ssd.heads, repeat=repeat)
        skip = maker.parameter(f"{mamba}.D", spec.ssd.heads, repeat=repeat)
        channels = spec.ssd.channels
        conv = maker.parameter(f"{mamba}.conv1d.weight", channels, 1, spec.kernel, repeat=repeat)
        conv_bias = maker.parameter(f"{mamba}.conv1d.bias", channels, repeat=repeat) if spec.conv_bias else None
        mixer = {"in_proj": maker.linear(mamba, "in_proj", spec.hidden, spec.ssd.projected, spec.in_bias, repeat)}
        inner = maker.parameter(f"{mamba}.norm.weight", spec.ssd.inner, repeat=repeat) if spec.inner_norm else None
        mixer["out_proj"] = maker.linear(mamba, "out_proj", spec.ssd.inner, spec.hidden, spec.out_bias, repeat)
        linears |= {one[0]: maker.linear(attn, *one, repeat) for one in self.attention_linears()}
        norms: dict[str, Norm] = {
            name: self.make_norm(f"{path}{name}", spec.hidden, repeat=repeat) for name in self.norm_names
        }
        return HybridBlock(linears, norms, mixer, a_log, skip, step_bias, conv, conv_bias, inner)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        vector = ("mamba.mup_vector", (1, 1, self.spec.ssd.projected), self.maker.format)
        return [*super().buffers(), *([vector] * self.spec.layers)]

    def scaled(self, inputs_embeds: Tensor) -> Tensor:
        return ops.scale(inputs_embeds)

    def project_out(self, hidden: Tensor) -> Tensor:
        return ops.scale(self.head(hidden))

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        assert isinstance(one, HybridBlock)
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        mixed = ops.scale(self._mix(index, one, hidden, run))
        attended, weights = self.attend(index, one, ops.scale(hidden), run, shared, mask)
        attended = ops.scale(attended)
        hidden = ops.add(mixed, attended)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = one.norms["pre_ff_layernorm"](hidden)
        hidden = self.mlp(one, hidden)
        hidden = ops.add(residual, hidden)
        del mixed, attended, weights
        return hidden

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        gate, up, down = (one.linears[name] for name in ("gate_proj", "up_proj", "down_proj"))
        y = ops.mul(up(x), activation(self.spec.activation, ops.scale(gate(x))))
        return ops.scale(down(y))

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        query = one.linears["q_proj"](hidden).view(b, spec.heads, s, d)
        key = ops.scale(one.linears["k_proj"](hidden).view(b, spec.kv_heads, s, d))
        value = one.linears["v_proj"](hidden).view(b, spec.kv_heads, s, d)
        return query, key, value

    def _mix(self, index: int, one: HybridBlock, hidden: Tensor, run: Run) -> Tensor:
        """The mixer on normed hidden states (batch, length, hidden)."""
        spec, ssd, tape, fmt = self.spec, self.spec.ssd, hidden.tape, hidden.format
        b, s = run.batch, run.length
        decoding = run.cache is not None and (index, "recurrent") in run.cache.states
        if masked(run, tape):
            hidden = scan.times_mask(hidden, run.padding)
        hidden = ops.scale(hidden)
        projected = one.mixer["in_proj"](hidden)
        projected = times_buffer(projected, self.maker.format)
        decay = rates(hidden, one.a_log)
        conv, recurrent = spec.states(0)
        gate, channels, steps = ops.split_last(projected, [ssd.inner, spec.ssd.channels, ssd.heads])
        channels = channels.view(b, spec.ssd.channels, s)
        channels = convolved(index, channels, one.conv, one.conv_bias, run, conv, spec.activation)
        channels = channels.view(b, s, spec.ssd.channels)
        if masked(run, tape):
            channels = scan.times_mask(channels, run.padding)
        hidden = channels  # the local variable's name
        held: tuple[Tensor, ...] = ()
        if decoding:
            out = step(tape, ssd, b, channels.format, not spec.inner_norm).view(b, 1, ssd.inner)
        else:
            out, held = scanned(index, run, ssd, recurrent, reading(ssd, channels, steps, decay, one))
        if one.inner_norm is not None:
            out = gated(out, gate, one.inner_norm, ssd.groups, spec.norm_first)
        elif not decoding:
            out = ops.mul(out, ops.silu(gate))
        result = one.mixer["out_proj"](ops.to(out, fmt))
        del projected, decay, channels, hidden, gate, steps, held, out
        return result


def gated(x: Tensor, gate: Tensor, weight: Parameter, groups: int, norm_first: bool) -> Tensor:
    """FalconH1RMSNormGated: x (batch, length, inner) normed by groups and weighed in fp32, times silu(gate) in fp32
    after that (``norm_first``) or before."""
    fmt, shape = x.format, x.shape
    if not norm_first:
        x = ops.mul(x, ops.silu(ops.to(gate, Format.FP32)))
    grouped = ops.to(x, Format.FP32).view(*shape[:-1], groups, shape[-1] // groups)
    variance = ops.mean_last(ops.power(grouped))
    x = ops.mul(grouped, ops.rsqrt(ops.add_scalar(variance))).view(*shape)
    del grouped
    x = ops.mul(x, weight)
    if norm_first:
        x = ops.mul(x, ops.silu(ops.to(gate, Format.FP32)))
    out = ops.to(x, fmt)
    del variance
    return out


def times_buffer(x: Tensor, fmt: Format) -> Tensor:
    """``x`` times a buffer of the model in ``fmt``: a result in the wider format."""
    tape, shape, wide = x.tape, x.shape, wider(x.format, fmt)

    def backward(grad: Tensor) -> list[Tensor | None]:
        return [fresh(tape, shape, wide, "mul (gradient)")]

    return operator(tape, "mul", (x,), shape, wide, backward)
