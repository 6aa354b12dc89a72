"""gpt-oss: experts with biases and a clamped gate, attention with a sink in every head, every other layer sliding.

Mirrors transformers 5.23 models/gpt_oss/modeling_gpt_oss.py with its eager attention: torch's fused kernels take no
sinks, and transformers has no sdpa for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.experts import Experts
from memcalc.architectures.layers import Linear, Maker, Norm, rms_norm
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.moe import MoeSpec
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import keep, operator
from memcalc.tensors.ops.attention import repeat_kv
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.ops.routing import gather_rows, top_k
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class BiasedExperts(Experts):
    """Experts with a bias after each product, and gate and up values side by side."""

    gate_up_bias: Parameter
    down_bias: Parameter

    @classmethod
    def make(cls, maker: Maker, path: str, count: int, hidden: int, width: int, act: str, repeat: int) -> BiasedExperts:
        gate_up = maker.experts(f"{path}.gate_up_proj", count, hidden, 2 * width, repeat, transposed=True)
        gate_up_bias = maker.parameter(f"{path}.gate_up_proj_bias", count, 2 * width, repeat=repeat)
        down = maker.experts(f"{path}.down_proj", count, width, hidden, repeat, transposed=True)
        down_bias = maker.parameter(f"{path}.down_proj_bias", count, hidden, repeat=repeat)
        return cls(count, width, act, gate_up, down, gate_up_bias, down_bias)

    @property
    def hidden(self) -> int:
        return self.down.shape[2]

    def biases(self, index: int, sorted_ids: Tensor, rows: Size) -> Tensor | None:
        return gather_rows((self.gate_up_bias, self.down_bias)[index], sorted_ids, rows)

    def gated(self, gate_up: Tensor) -> Tensor:
        gate, up = ops.slice_last(gate_up, self.width), ops.slice_last(gate_up, self.width)
        gate, up = clamp(gate, 1), clamp(up, 2)
        glu = ops.mul(gate, ops.sigmoid(ops.scale(gate)))
        return ops.mul(ops.add_scalar(up), glu)


@dataclass(slots=True)
class OssBlock(Block):
    """A block with its router, experts and sinks (one number a head)."""

    router: Linear
    experts: BiasedExperts
    sinks: Parameter


class GptOss(Llama):
    """Adapters only reach the attention: router and experts are parameters of their own."""

    spec: MoeSpec
    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj")
    peft_targets = ()

    def make_block(self, path: str, repeat: int) -> OssBlock:
        spec, attn, mlp = self.spec, f"{path}self_attn", f"{path}mlp"
        sinks = self.maker.parameter(f"{attn}.sinks", spec.heads, repeat=repeat)
        linears = {one[0]: self.maker.linear(attn, *one, repeat) for one in self.attention_linears()}
        router = Linear(self.maker.parameter(f"{mlp}.router.weight", spec.experts, spec.hidden, repeat=repeat))
        router.bias = self.maker.parameter(f"{mlp}.router.bias", spec.experts, repeat=repeat)
        experts = BiasedExperts.make(
            self.maker, f"{mlp}.experts", spec.experts, spec.hidden, spec.expert_ffn, spec.activation, repeat
        )
        norms = {name: self.make_norm(f"{path}{name}", spec.hidden, repeat=repeat) for name in self.norm_names}
        return OssBlock(linears, norms, router, experts, sinks)

    @property
    def idle_parameters(self) -> int:
        return self.spec.idle(self.parameters)

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        return lambda x: rms_norm(x, weight, weight_first=True)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        shape = (1, run.length, self.rotary_dim // 2)
        freqs = fresh(tape, shape, Format.FP32, "rotary frequencies")
        cos = fresh(tape, shape, Format.FP32, "cos")
        sin = fresh(tape, shape, Format.FP32, "sin")
        del freqs
        return [ops.to(cos, fmt), ops.to(sin, fmt)]

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        cos, sin = shared[:2]
        return _halves(query, cos, sin), _halves(key, cos, sin)

    def attend(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert isinstance(one, OssBlock)
        query, key, value = self.project(one, hidden, run)
        query, key = self.position(index, query, key, shared)
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, self.spec.window(self.plan[index].layer), run.past)
        p = self.spec.attention_dropout if run.training else 0.0
        out, weights = attend_with_sinks(query, key, value, mask, one.sinks, p, run.cache is not None)
        return one.linears["o_proj"](out), weights

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        assert isinstance(one, OssBlock)
        batch, length, hidden = x.shape
        flat = x.view(batch * length, hidden)
        logits = one.router(flat)
        values, index = top_k(logits, self.spec.chosen)
        weights = ops.softmax(values, values.format)
        del values
        out = one.experts(flat, index, weights)
        del logits
        return out.view(batch, length, hidden)


def attend_with_sinks(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, sinks: Parameter, p: float, cached: bool
) -> tuple[Tensor, Tensor]:
    """Eager attention whose softmax has one column more, the sink; the result (batch, queries, heads·d) and the
    weights. The scores are lowered by their largest before the softmax, which stays in their own format."""
    tape = query.tape
    batch, heads, queries, _ = query.shape
    kv_heads, keys, d = key.shape[1], key.shape[2], value.shape[-1]
    # A single head is only looked at by all, and copied where it is folded into the batch.
    dense = kv_heads > 1 and (cached or kv_heads != heads)
    key, value = repeat_kv(key, heads), repeat_kv(value, heads)
    copies = (False, tape.folds(heads) and not dense)
    scores = ops.scale(ops.batched_product(query, key, (batch, heads, queries, keys), copies))
    if mask is not None:
        scores = ops.add(scores, mask)
    combined = _with_sink(scores, sinks)
    combined = _lowered(combined)
    probabilities = ops.softmax(combined, combined.format)
    scores = ops.slice_last(probabilities, keys)
    weights = ops.to(ops.dropout(scores, p), value.format)
    out = ops.batched_product(weights, value, (batch, heads, queries, d), copies)
    out = ops.contiguous(out, tape.reorders(heads), (batch, queries, heads * d))
    del combined, probabilities, scores
    return out, weights


def _with_sink(scores: Tensor, sinks: Parameter) -> Tensor:
    """``cat((scores, sinks), -1)``: the sinks (heads,) are spread over batch and queries; the gradients are views."""
    shape = (*scores.shape[:-1], scores.shape[-1] + 1)
    tape, part, fmt, sink_shape = scores.tape, scores.shape, scores.format, sinks.shape
    needs_scores, needs_sinks = scores.needs_grad, sinks.needs_grad

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [grad.view(*part)] if needs_scores else []
        if needs_sinks:
            grads.append(fresh(tape, sink_shape, fmt, "sum (gradient)"))
        return grads

    return operator(tape, "cat", (scores, sinks), shape, fmt, backward)


def _lowered(x: Tensor) -> Tensor:
    """``x - x.max(-1, keepdim=True).values``: keeps the indices of the largest; backward of the difference, then of
    the maximum (zeros of x's shape)."""
    tape, shape, fmt = x.tape, x.shape, x.format
    row = (*shape[:-1], 1)

    def max_backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "max (gradient)")]

    largest = operator(tape, "max", (x,), row, fmt, max_backward)
    indices = fresh(tape, row, Format.INT64, "max")
    if largest.node is not None:
        keep(tape, largest.node, (indices,))
    del indices
    return ops.sub(x, largest)


def _halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions of x (batch, heads, length, d) by tables of half its width."""
    first, second = ops.chunk_last(x, 2)
    one = ops.sub(ops.mul(first, cos), ops.mul(second, sin))
    return ops.cat_halves(one, ops.add(ops.mul(second, cos), ops.mul(first, sin)))


def clamp(x: Tensor, bounds: int) -> Tensor:
    """``x.clamp`` with one or two bounds: keeps x; backward makes a flag a value and bound, and the gradient."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        zero = fresh(tape, (1,), fmt, "scalar_tensor")
        flags = [fresh(tape, shape, Format.BOOL, "compare") for _ in range(bounds)]
        out = fresh(tape, shape, fmt, "where (gradient)")
        del zero, flags
        return [out]

    return operator(tape, "clamp", (x,), shape, fmt, backward, (x,))
