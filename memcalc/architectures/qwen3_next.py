"""Qwen3-Next: three layers of a gated delta rule to one of gated attention, and a mixture of experts with one that
every token goes through.

Mirrors transformers 5.23 models/qwen3_next/modeling_qwen3_next.py without the kernels of flash-linear-attention and
causal-conv1d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.adapters import QWEN_NAMES
from memcalc.architectures.attention import attention
from memcalc.architectures.delta_layer import DeltaLayer, delta_states
from memcalc.architectures.delta_loop import QWEN3_NEXT, Delta
from memcalc.architectures.experts import Experts
from memcalc.architectures.gemma import gemma_norm
from memcalc.architectures.gpt_neox import rotate_both
from memcalc.architectures.layers import LinearShape, Norm
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.moe import SparseBlock
from memcalc.architectures.qwen2_moe import Qwen2Moe, Qwen2MoeSpec
from memcalc.architectures.run import Run
from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Qwen3NextSpec(Qwen2MoeSpec):
    """A Qwen3-Next: which layers attend, how many of a head's values they rotate, the heads of the others, and the
    taps of their convolution."""

    attention_layers: tuple[int, ...] = ()
    rotary_dim: int = 64
    delta: Delta = QWEN3_NEXT
    kernel: int = 4

    def kind(self, layer: int) -> object:
        return layer in self.attention_layers, layer in self.dense_layers

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        heads = self.kv_heads if layer in self.attention_layers else 0
        return (heads, self.head_dim), (heads, self.head_dim)

    def states(self, layer: int) -> tuple[State, ...]:
        return () if layer in self.attention_layers else delta_states(self.delta, self.kernel)

    @property
    def by_length(self) -> bool:
        """Chunks: whether there is one or several decides what is copied."""
        return True


@dataclass(slots=True)
class DeltaBlock(SparseBlock):
    """A block with a layer of the delta rule (None: it attends)."""

    delta: DeltaLayer | None = None


class Qwen3Next(Qwen2Moe):
    """Norms with weights around one, wholly in fp32; positions on part of each head.

    PEFT names no usual targets for this model: the projections of attention and delta rule are taken."""

    spec: Qwen3NextSpec
    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkvz", "in_proj_ba", "out_proj")
    peft_targets: ClassVar[tuple[str, ...]] = linear_names
    expert_names = QWEN_NAMES
    by_head = True

    @property
    def rotary_dim(self) -> int:
        return self.spec.rotary_dim

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        return lambda x: gemma_norm(x, weight)

    def attention_linears(self) -> list[LinearShape]:
        (name, hidden, width, bias), *others = super().attention_linears()
        return [(name, hidden, 2 * width, bias), *others]  # a gate beside each query

    def make_layer(self, layer: int, path: str, repeat: int) -> Block:
        spec, maker = self.spec, self.maker
        one = DeltaBlock({}, {})
        if layer in spec.attention_layers:
            attn = f"{path}self_attn"
            one.linears |= {shape[0]: maker.linear(attn, *shape, repeat) for shape in self.attention_linears()}
            one.norms |= {
                name: self.make_norm(f"{attn}.{name}", *shape, repeat=repeat) for name, shape in self.qk_norms()
            }
        else:
            one.delta = DeltaLayer.make(
                maker, f"{path}linear_attn", spec.hidden, spec.delta, spec.kernel, spec.activation, repeat
            )
        mlp = f"{path}mlp"
        if layer in spec.dense_layers:
            one.linears |= {shape[0]: maker.linear(mlp, *shape, repeat) for shape in self.mlp_linears()}
        else:
            one.router = self._router(mlp, repeat)
            experts = Experts.make(
                maker, f"{mlp}.experts", spec.experts, spec.hidden, spec.expert_ffn, spec.activation, repeat
            )
            one.experts, one.router_adapter = self.adapted(one.router, experts, repeat)
            one.linears |= self.shared_experts(mlp, repeat)
        one.norms |= {name: self.make_norm(f"{path}{name}", spec.hidden, repeat=repeat) for name in self.norm_names}
        return one

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        if isinstance(one, DeltaBlock) and one.experts is None:
            return Llama.mlp(self, one, x)
        return super().mlp(one, x)

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        return Llama.attention_masks(self, tape, run, fmt)

    def attend(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert isinstance(one, DeltaBlock)
        if one.delta is None:
            return self._attend(index, one, hidden, run, shared, mask)
        return one.delta(index, hidden, run), None

    def _attend(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Gated attention: the queries' projection also gives a gate for each value of the result."""
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        query, gate = ops.chunk_last(one.linears["q_proj"](hidden).view(b, s, spec.heads, 2 * d), 2)
        gate = ops.contiguous(gate, spec.heads > 1, (b, s, spec.heads * d))
        query = self._heads(query, one.norms["q_norm"], b, s, spec.heads, d)
        key = self._heads(one.linears["k_proj"](hidden), one.norms["k_norm"], b, s, spec.kv_heads, d)
        value = one.linears["v_proj"](hidden).view(b, spec.kv_heads, s, d)
        query, key = rotate_both(query, key, shared, spec.rotary_dim)
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        p = spec.attention_dropout if run.training else 0.0
        out, weights = attention(query, key, value, mask, run, p, Format.FP32, by_head=True)
        out = ops.mul(out, ops.sigmoid(gate))
        out = one.linears["o_proj"](out)
        del gate, query, key, value
        return out, weights
