"""Cohere Command R: layer norms written out in fp32, a parallel residual, rotary positions in fp32, scaled logits.

Mirrors transformers 5.23 models/cohere/modeling_cohere.py and models/cohere2/modeling_cohere2.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.layers import Norm
from memcalc.architectures.llama import Llama, rotate
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import Source, operator
from memcalc.tensors.ops.elementwise import Grads
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


class Cohere(Llama):
    """One norm a block; attention and feed-forward read the same hidden states."""

    norm_names = ("input_layernorm",)

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        return lambda x: cohere_norm(x, weight)

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        spec = self.spec
        if not spec.qk_norm:
            return []
        return [("q_norm", (spec.heads, spec.head_dim)), ("k_norm", (spec.kv_heads, spec.head_dim))]

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        cos, sin = shared[:2]
        fmt = query.format
        query, key = ops.to(query, Format.FP32), ops.to(key, Format.FP32)
        query_embed, key_embed = rotate(query, cos, sin), rotate(key, cos, sin)
        return ops.to(query_embed, fmt), ops.to(key_embed, fmt)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        attended, weights = self.attend(index, one, hidden, run, shared, mask)
        fed_forward = self.mlp(one, hidden)
        hidden = ops.add(ops.add(residual, attended), fed_forward)
        del weights
        return hidden

    def project_out(self, hidden: Tensor) -> Tensor:
        logits = self.head(hidden)
        return ops.scale(logits)


class Cohere2(Cohere):
    """Command R7B and A: most layers slide and rotate, the others do neither."""

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if self.spec.window(self.plan[index].layer) is None:
            return query, key
        return super().position(index, query, key, shared)

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        # Both masks are made, whichever kinds of layers there are.
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys((None, *self.spec.windows))}


def cohere_norm(x: Tensor, weight: Parameter) -> Tensor:
    """CohereLayerNorm: mean and variance by elementwise operators in fp32, no bias."""
    fmt = x.format
    x = ops.to(x, Format.FP32)
    mean = ops.mean_last(x)
    variance = ops.mean_last(ops.power(ops.sub(x, mean)))
    x = ops.mul(ops.sub(x, mean), ops.rsqrt(ops.add_scalar(variance)))
    x = ops.mul(x, wide(x, weight))
    return ops.to(x, fmt)


def wide(x: Tensor, weight: Parameter) -> Source:
    """``weight.to(float32)``."""
    if weight.format is Format.FP32:
        return weight

    def backward(grad: Tensor) -> Grads:
        return [grad]

    return operator(x.tape, "to", (weight,), weight.shape, Format.FP32, backward)
