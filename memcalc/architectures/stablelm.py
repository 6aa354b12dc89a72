"""StableLM: LayerNorm, partly rotary positions, optionally a parallel residual and a norm for each head.

Mirrors transformers 5.23 models/stablelm/modeling_stablelm.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.layers import Norm
from memcalc.architectures.llama import rotate
from memcalc.architectures.rotary import PartialRotary, PartialSpec, joined, parted
from memcalc.architectures.run import Run
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class StableLmSpec(PartialSpec):
    """A StableLM model; whether attention and feed-forward run side by side."""

    parallel_residual: bool = False


class StableLm(PartialRotary):
    """Llama with LayerNorm; the 12B model has a parallel residual and norms on each query and key head."""

    spec: StableLmSpec

    def build(self) -> None:
        if self.spec.parallel_residual:
            self.norm_names = ("input_layernorm",)
        super().build()

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        make = self.maker
        if len(shape) == 2:  # heads, head_dim: a norm without bias for each head
            weights = [make.parameter(f"{path}.norms.{i}.weight", shape[1], repeat=repeat) for i in range(shape[0])]
            return lambda x: norm_heads(x, weights)
        weight = make.parameter(f"{path}.weight", *shape, repeat=repeat)
        bias = make.parameter(f"{path}.bias", *shape, repeat=repeat)
        return lambda x: ops.layer_norm(x, weight, bias)

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        spec = self.spec
        if not spec.qk_norm:
            return []
        return [("q_norm", (spec.heads, spec.head_dim)), ("k_norm", (spec.kv_heads, spec.head_dim))]

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        cos, sin = shared[:2]
        query_rot, query_pass = parted(query, self.rotary_dim)
        key_rot, key_pass = parted(key, self.rotary_dim)
        query_rot, key_rot = rotate(query_rot, cos, sin), rotate(key_rot, cos, sin)
        query = joined(query_rot, query_pass)
        key = joined(key_rot, key_pass)
        return query, key, query_rot, query_pass, key_rot, key_pass

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        p = self.spec.residual_dropout if run.training else 0.0
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        attn_output, weights = self.attend(index, one, hidden, run, shared, mask)
        if self.spec.parallel_residual:
            mlp_output = self.mlp(one, hidden)
            mlp_output = ops.dropout(mlp_output, p)
            hidden = ops.add(ops.add(residual, attn_output), mlp_output)
        else:
            residual = ops.add(residual, attn_output)
            mlp_output = self.mlp(one, one.norms["post_attention_layernorm"](residual))
            mlp_output = ops.dropout(mlp_output, p)
            hidden = ops.add(residual, mlp_output)
        del weights
        return hidden


def norm_heads(x: Tensor, weights: list[Parameter]) -> Tensor:
    """StableLmLayerNormPerHead on x (batch, length, heads, d): split by head, normed one by one, joined again."""
    tape, shape, fmt = x.tape, x.shape, x.format
    part = (shape[0], 1, shape[1], shape[3])

    def split_backward(*grads: Tensor | None) -> Grads:
        return [fresh(tape, shape, fmt, "cat (split gradient)")]

    node = graph_node(tape, (x,), split_backward, slots=len(weights))
    heads = [
        ops.layer_norm(Tensor(x.storage, part, fmt, node, i, True), weight, None) for i, weight in enumerate(weights)
    ]

    def cat_backward(grad: Tensor) -> Grads:
        return [grad.view(*part) for _ in weights]

    return operator(tape, "cat", heads, shape, heads[0].format, cat_backward)
