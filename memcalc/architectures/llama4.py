"""Llama 4 (text): attention in chunks with rotary positions, every fourth layer to everything and without positions;
experts that all see all tokens, in batched products, beside one that every token goes through.

Mirrors transformers 5.23 models/llama4/modeling_llama4.py (Llama4ForCausalLM).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from memcalc.architectures.experts import Experts
from memcalc.architectures.gemma import normalised
from memcalc.architectures.layers import Linear, Maker, Norm, activation
from memcalc.architectures.llama import Block
from memcalc.architectures.moe import Mixtral, MoeSpec, SparseBlock
from memcalc.architectures.polar import polar_table, turned
from memcalc.architectures.run import Run
from memcalc.architectures.shared_moe import gated
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.routing import (
    added_in_place,
    expert_product,
    repeated_rows,
    scattered_columns,
    summed_copies,
    top_k,
    weigh_rows,
)
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Llama4Spec(MoeSpec):
    """A Llama 4: ``windows`` are its chunks; which layers have rotary positions; whether those norm queries and keys
    (without weights), and whether the others scale their queries by position."""

    rotary_layers: tuple[bool, ...] = ()
    tempered: bool = True

    @property
    def chunked(self) -> bool:
        return True

    def kind(self, layer: int) -> object:
        return self.window(layer), layer in self.dense_layers, self.rotary_layers[layer]


@dataclass(frozen=True, slots=True)
class BatchedExperts(Experts):
    """Experts that are given all tokens, those not chosen with weights of zero: gate and up (E, hidden, 2·width), down
    (E, width, hidden)."""

    @classmethod
    def make(
        cls, maker: Maker, path: str, count: int, hidden: int, width: int, act: str, repeat: int
    ) -> BatchedExperts:
        gate_up = maker.experts(f"{path}.gate_up_proj", count, hidden, 2 * width, repeat, transposed=True)
        down = maker.experts(f"{path}.down_proj", count, width, hidden, repeat, transposed=True)
        return cls(count, width, act, gate_up, down)

    def all(self, rows: Tensor, tokens: Size) -> Tensor:
        """Rows (E·T, hidden), expert by expert, through their experts."""
        hidden = rows.shape[-1]
        rows = rows.view(self.count, tokens, hidden)
        gate_up = expert_product(rows, self.gate_up)
        gate, up = ops.chunk_last(gate_up, 2)
        out = expert_product(ops.mul(up, activation(self.activation, gate)), self.down)
        del gate_up, gate, up
        return out.view(self.count * tokens, hidden)


class Llama4(Mixtral):
    """``ffn`` is the width of the dense layers, ``expert_ffn`` of each expert and of the shared one."""

    spec: Llama4Spec
    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    expert_names: ClassVar[Mapping[str, str]] = {}
    wide_softmax = False

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        return lambda x: ops.mul(ops.to(normalised(ops.to(x, Format.FP32)), x.format), weight)

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        return []

    def make_layer(self, layer: int, path: str, repeat: int) -> Block:
        """Attention, feed-forward (experts before the router), norms."""
        if layer in self.spec.dense_layers:
            return self.make_block(path, repeat)
        spec, maker, mlp = self.spec, self.maker, f"{path}feed_forward"
        linears = {one[0]: maker.linear(f"{path}self_attn", *one, repeat) for one in self.attention_linears()}
        experts = BatchedExperts.make(
            maker, f"{mlp}.experts", spec.experts, spec.hidden, spec.expert_ffn, spec.activation, repeat
        )
        router = maker.parameter(f"{mlp}.router.weight", spec.experts, spec.hidden, repeat=repeat)
        linears |= self.shared_experts(mlp, repeat)
        norms = {name: self.make_norm(f"{path}{name}", spec.hidden, repeat=repeat) for name in self.norm_names}
        return SparseBlock(linears, norms, router, experts)

    def shared_experts(self, mlp: str, repeat: int) -> dict[str, Linear]:
        h, wide = self.spec.hidden, self.spec.expert_ffn
        shapes = [("gate_proj", h, wide, False), ("up_proj", h, wide, False), ("down_proj", wide, h, False)]
        return {one[0]: self.maker.linear(f"{mlp}.shared_expert", *one, repeat) for one in shapes}

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return [polar_table(tape, run, self.rotary_dim)]

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if self.spec.rotary_layers[self.plan[index].layer]:
            query, key = _rotated(query, key, shared[0])
            return (_l2_norm(query), _l2_norm(key)) if self.spec.qk_norm else (query, key)
        if not self.spec.tempered:
            return query, key
        return _tempered(query), key

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        attended, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = ops.add(residual, attended)
        residual = hidden
        hidden = one.norms["post_attention_layernorm"](hidden)
        if not isinstance(one, SparseBlock):
            hidden = ops.add(residual, self.mlp(one, hidden))
            del weights, attended
            return hidden
        hidden, logits = self.routed(one, hidden)
        del weights  # the variable is given to the router's logits
        hidden = ops.add(residual, hidden)
        del attended, logits
        return hidden

    def routed(self, one: SparseBlock, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mixture on x (batch, length, hidden), and the router's logits (T, E)."""
        assert one.router is not None
        assert isinstance(one.experts, BatchedExperts)
        batch, length, hidden = x.shape
        tokens, experts = batch * length, self.spec.experts
        flat = x.view(tokens, hidden)
        logits = ops.linear(flat, one.router)
        values, index = top_k(logits, self.spec.chosen)
        scores = scattered_columns(values, index, experts)
        scores = ops.to(ops.sigmoid(ops.to(scores, Format.FP32)), logits.format)
        del values, index
        rows = repeated_rows(flat, experts)
        single = x.tape.one_token and x.tape.one_sequence
        rows = weigh_rows(rows, ops.contiguous(scores, not single, (experts * tokens,)))
        routed = one.experts.all(rows, tokens)
        out = gated(one.linears, self.spec.activation, flat)
        out = added_in_place(out, summed_copies(routed, tokens))
        del scores, rows, routed
        return out.view(batch, length, hidden), logits

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        # Both masks are made, whichever kinds of layers there are.
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys((None, *self.spec.windows))}

    def _made_mask(self, tape: Tape, run: Run, fmt: Format, keys: Size, window: int | None = None) -> Tensor:
        # Chunks are counted from each sequence's first token behind its padding: a mask for every sequence.
        return super()._made_mask(tape, run if window is None else replace(run, padded=True), fmt, keys, window)


def _rotated(query: Tensor, key: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Both are turned before either is cast back."""
    wide_query, wide_key = ops.to(query, Format.FP32), ops.to(key, Format.FP32)
    query_out, key_out = turned(wide_query, table, False), turned(wide_key, table, False)
    found = ops.to(query_out, query.format), ops.to(key_out, key.format)
    del wide_query, wide_key, query_out, key_out
    return found


def _l2_norm(x: Tensor) -> Tensor:
    return ops.to(normalised(ops.to(x, Format.FP32)), x.format)


def _tempered(query: Tensor) -> Tensor:
    """Queries times a number that grows with their position, in fp32."""
    tape, length = query.tape, query.shape[2]
    scales = fresh(tape, (1, 1, length, 1), Format.FP32, "attention temperature")
    return ops.to(ops.mul(query, scales), query.format)
