"""The Llama family: Llama 1/2/3, Mistral, Qwen2 and 2.5, Qwen3, SmolLM, Yi, TinyLlama …

Mirrors transformers 5.23 models/llama/modeling_llama.py (and qwen2, qwen3, mistral, which differ by biases,
norms on queries and keys, and windows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import attention
from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Linear, activation, rms_norm
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(slots=True)
class Block:
    """The parameters of one decoder block."""

    input_norm: Parameter
    q_proj: Linear
    k_proj: Linear
    v_proj: Linear
    o_proj: Linear
    q_norm: Parameter | None
    k_norm: Parameter | None
    post_norm: Parameter
    gate_proj: Linear
    up_proj: Linear
    down_proj: Linear


class Llama(Decoder):
    """RMSNorm, rotary positions, grouped-query attention, SwiGLU."""

    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    peft_targets = ("q_proj", "v_proj")

    def build(self) -> None:
        spec, make = self.spec, self.maker
        q, kv = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        self.blocks: list[Block] = []
        for one in self.plan:
            n, path = one.repeat, f"{one.label}."
            attn, mlp = f"{path}self_attn", f"{path}mlp"
            # in the order of named_parameters(): attention, feed-forward, norms
            self.blocks.append(
                Block(
                    q_proj=make.linear(attn, "q_proj", spec.hidden, q, spec.qkv_bias, n),
                    k_proj=make.linear(attn, "k_proj", spec.hidden, kv, spec.qkv_bias, n),
                    v_proj=make.linear(attn, "v_proj", spec.hidden, kv, spec.qkv_bias, n),
                    o_proj=make.linear(attn, "o_proj", q, spec.hidden, spec.output_bias, n),
                    q_norm=make.parameter(f"{attn}.q_norm.weight", spec.head_dim, repeat=n) if spec.qk_norm else None,
                    k_norm=make.parameter(f"{attn}.k_norm.weight", spec.head_dim, repeat=n) if spec.qk_norm else None,
                    gate_proj=make.linear(mlp, "gate_proj", spec.hidden, spec.ffn, spec.mlp_bias, n),
                    up_proj=make.linear(mlp, "up_proj", spec.hidden, spec.ffn, spec.mlp_bias, n),
                    down_proj=make.linear(mlp, "down_proj", spec.ffn, spec.hidden, spec.mlp_bias, n),
                    input_norm=make.parameter(f"{path}input_layernorm.weight", spec.hidden, repeat=n),
                    post_norm=make.parameter(f"{path}post_attention_layernorm.weight", spec.hidden, repeat=n),
                )
            )
        self.norm = make.parameter("norm.weight", spec.hidden)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        half = (self.spec.head_dim // 2,)
        return [("rotary_emb.inv_freq", half, Format.FP32), ("rotary_emb.original_inv_freq", half, Format.FP32)]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        return (inputs_embeds,)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        """Rotary cosines and sines (1, length, head_dim), computed in fp32 and cast to the model's format."""
        shape = (1, run.length, self.spec.head_dim)
        freqs = fresh(tape, (1, run.length, self.spec.head_dim // 2), Format.FP32, "rotary frequencies")
        emb = fresh(tape, shape, Format.FP32, "rotary angles")
        cos = fresh(tape, shape, Format.FP32, "cos")
        sin = fresh(tape, shape, Format.FP32, "sin")
        del freqs, emb
        return [ops.to(cos, fmt), ops.to(sin, fmt)]

    def final(self, hidden: Tensor) -> Tensor:
        return rms_norm(hidden, self.norm)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        hidden = rms_norm(hidden, one.input_norm)
        hidden, weights = self._attention(index, one, hidden, run, shared, mask)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = rms_norm(hidden, one.post_norm)
        hidden = self._mlp(one, hidden)
        hidden = ops.add(residual, hidden)
        del weights  # the block's local variable holds eager attention's weights until here
        return hidden

    def _mlp(self, one: Block, x: Tensor) -> Tensor:
        return one.down_proj(ops.mul(activation(self.spec.activation, one.gate_proj(x)), one.up_proj(x)))

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        query = self._heads(one.q_proj(hidden), one.q_norm, b, s, spec.heads, d)
        key = self._heads(one.k_proj(hidden), one.k_norm, b, s, spec.kv_heads, d)
        value = one.v_proj(hidden).view(b, spec.kv_heads, s, d)
        cos, sin = shared[:2]
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        if run.cache is not None:
            window = spec.window(self.plan[index].layer)
            key, value = run.cache.update(index, key, value, window, run.past)
        p = spec.attention_dropout if run.training else 0.0
        out, weights = attention(query, key, value, mask, run, p, Format.FP32)
        return one.o_proj(out), weights

    def _heads(self, x: Tensor, norm: Parameter | None, b: int, s: int, heads: int, d: int) -> Tensor:
        if norm is None:
            return x.view(b, heads, s, d)
        return rms_norm(x.view(b, s, heads, d), norm).view(b, heads, s, d)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x (batch, heads, length, d): ``x * cos + rotate_half(x) * sin``."""
    return ops.add(ops.mul(x, cos), ops.mul(rotate_half(x), sin))


def rotate_half(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    first = ops.slice_last(x, half)
    second = ops.slice_last(x, half)
    return ops.cat_halves(ops.neg(second), first)
