"""A layer of the gated delta rule: projections, a convolution, the rule, a gated norm, a projection.

Mirrors ``Qwen3NextGatedDeltaNet`` of transformers 5.23 models/qwen3_next/modeling_qwen3_next.py without the kernels of
flash-linear-attention and causal-conv1d.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.delta_loop import CHUNK, Delta
from memcalc.architectures.delta_rule import chunked, step
from memcalc.architectures.layers import Linear, Maker, activation
from memcalc.architectures.mamba import masked
from memcalc.architectures.run import Run
from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import scan, slices
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tensor import Parameter, Tensor


def channels(one: Delta) -> int:
    """Channels of the convolution: queries, keys and values."""
    return 2 * one.keys + one.values


def delta_states(one: Delta, kernel: int) -> tuple[State, ...]:
    """The last inputs of the convolution in the model's format, and a matrix a value head in fp32."""
    return (
        State("convolution", (channels(one), kernel)),
        State("recurrent", (one.value_heads, one.key_dim, one.value_dim), Format.FP32),
    )


@dataclass(slots=True)
class DeltaLayer:
    """The parameters of one layer, and what it makes of hidden states."""

    delta: Delta
    kernel: int
    activation: str
    step_bias: Parameter
    a_log: Parameter
    conv: Parameter
    gated: Parameter
    linears: dict[str, Linear]

    @classmethod
    def make(cls, maker: Maker, path: str, hidden: int, delta: Delta, kernel: int, act: str, repeat: int) -> DeltaLayer:
        """With its parameters, in the order of named_parameters()."""
        heads, width = delta.value_heads, channels(delta)
        step_bias = maker.parameter(f"{path}.dt_bias", heads, repeat=repeat)
        a_log = maker.parameter(f"{path}.A_log", heads, repeat=repeat)
        conv = maker.parameter(f"{path}.conv1d.weight", width, 1, kernel, repeat=repeat)
        wide = width + delta.values
        linears = {"in_proj_qkvz": maker.linear(path, "in_proj_qkvz", hidden, wide, False, repeat)}
        linears["in_proj_ba"] = maker.linear(path, "in_proj_ba", hidden, 2 * heads, False, repeat)
        gated = maker.parameter(f"{path}.norm.weight", delta.value_dim, repeat=repeat)
        linears["out_proj"] = maker.linear(path, "out_proj", delta.values, hidden, False, repeat)
        return cls(delta, kernel, act, step_bias, a_log, conv, gated, linears)

    def __call__(self, index: int, hidden: Tensor, run: Run) -> Tensor:
        """Normed hidden states (batch, length, hidden) to what is added to the residual stream."""
        delta, tape = self.delta, hidden.tape
        b, s, h = run.batch, run.length, delta.value_heads
        decoding = run.cache is not None and (index, "recurrent") in run.cache.states
        if masked(run, tape):
            hidden = scan.times_mask(hidden, run.padding)
        qkvz = self.linears["in_proj_qkvz"](hidden)
        ba = self.linears["in_proj_ba"](hidden)
        several, copies = delta.key_heads > 1, delta.shared > 1 and delta.key_heads > 1
        wide = delta.shared * delta.value_dim
        query, key, value, z = ops.split_last(
            qkvz.view(b, s, delta.key_heads, 2 * (delta.key_dim + wide)), [delta.key_dim, delta.key_dim, wide, wide]
        )
        raw, rate = ops.split_last(ba.view(b, s, delta.key_heads, 2 * delta.shared), [delta.shared] * 2)
        value, z = (ops.contiguous(x, copies, (b, s, h, delta.value_dim)) for x in (value, z))
        raw, rate = (ops.contiguous(x, copies, (b, s, h)) for x in (raw, rate))
        query, key = (ops.contiguous(x, several, (b, s, delta.keys)) for x in (query, key))
        value = ops.contiguous(value, several and not copies, (b, s, delta.values))
        mixed = self._convolved(index, query, key, value, run, decoding)
        query, key, value = ops.split_last(mixed, [delta.keys, delta.keys, delta.values])
        turned = delta.shared == 1 and several and not tape.one_token  # gradients come head by head
        query, key = (slices.reshaped(x, (b, s, delta.key_heads, delta.key_dim), turned) for x in (query, key))
        value = slices.reshaped(value, (b, s, h, delta.value_dim), h > 1 and not tape.one_token)
        beta = ops.sigmoid(raw)
        decay = scan.row_times(
            ops.neg(scan.exp_of(self.a_log, hidden)),
            scan.softplus(ops.add(ops.to(rate, Format.FP32), self.step_bias)),
        )
        if decoding:
            out, state = step(delta, query, key, value, decay, beta)
        else:
            out, last = chunked(delta, query, key, value, decay, beta, run.cache is not None)
            state = last if last is not None else out
            del last
            if run.cache is not None:
                run.cache.state(tape, index, delta_states(delta, self.kernel)[1], b, mixed.format)
        # In fp32 no cast has laid the chunks' results out token by token.
        apart = not decoding and mixed.format is Format.FP32 and s > CHUNK
        out = ops.contiguous(out, apart, (b * s * h, delta.value_dim))
        z = ops.contiguous(z, delta.shared > 1 and not several, (b * s * h, delta.value_dim))
        out = gated_norm(out, self.gated, z)
        output = self.linears["out_proj"](out.view(b, s, delta.values))
        del qkvz, ba, z, raw, rate, mixed, beta, query, key, value, decay, out, state
        return output

    def _convolved(self, index: int, query: Tensor, key: Tensor, value: Tensor, run: Run, decoding: bool) -> Tensor:
        """Queries, keys and values joined and convolved along the length: (batch, length, channels)."""
        tape, width = query.tape, channels(self.delta)
        b, s = run.batch, run.length
        mixed = slices.joined((query, key, value), (b, s, width))
        del query, key, value
        window = None
        if decoding:
            window = fresh(tape, (b, width, self.kernel + 1), mixed.format, "cat (convolution)")
            out = fresh(tape, (b, width, 2), mixed.format, "convolution").view(b, width, 1)
        else:
            mixed = mixed.view(b, width, s)
            if run.cache is not None:
                run.cache.state(tape, index, delta_states(self.delta, self.kernel)[0], b, mixed.format)
                if s < self.kernel:  # the cache fills the prompt up, and that is what is convolved
                    mixed = slices.padded(mixed, (b, width, self.kernel))
            out = scan.causal_convolution(mixed, self.conv, None)
        activated = activation(self.activation, out)
        del out, window
        return activated.view(b, s, width)


def gated_norm(x: Tensor, weight: Parameter, gate: Tensor) -> Tensor:
    """RMSNorm on rows x in fp32, cast back and weighed, times silu(gate) in fp32 [Qwen3NextRMSNormGated]."""
    fmt = x.format
    x = ops.to(x, Format.FP32)
    variance = ops.mean_last(ops.power(x))
    x = ops.mul(x, ops.rsqrt(ops.add_scalar(variance)))
    x = ops.mul(ops.to(x, fmt), weight)
    x = ops.mul(x, ops.silu(ops.to(gate, Format.FP32)))
    return ops.to(x, fmt)
