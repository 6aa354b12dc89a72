"""The Llama family: Llama 1/2/3, Mistral, Qwen2 and 2.5, Qwen3, SmolLM, Yi, TinyLlama …

Mirrors transformers 5.23 models/llama/modeling_llama.py (and qwen2, qwen3, mistral, which differ by biases,
norms on queries and keys, and windows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.attention import attention
from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Linear, LinearShape, Norm, activation, rms_norm
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.sequence import gathered, scattered
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor


@dataclass(slots=True)
class Block:
    """The layers of one decoder block, by their names in the model code."""

    linears: dict[str, Linear]
    norms: dict[str, Norm]


class Llama(Decoder):
    """RMSNorm, rotary positions, grouped-query attention, SwiGLU.

    Families that differ a little override one of the small methods: which layers there are, the norm, the
    positions, the feed-forward, the way around them. ``norm_names``: a block's norms outside the attention;
    ``by_head``: queries and keys come out of their positions laid out head by head; ``wide_softmax``: eager attention
    takes its softmax in fp32 and casts the weights back; ``fused_gates``: the activations that Liger fuses with what
    they gate; ``unfused``: how the names of norms end that it leaves as they are.
    """

    linear_names: ClassVar[tuple[str, ...]] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )
    peft_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")
    by_head: ClassVar[bool] = False
    wide_softmax: ClassVar[bool] = True
    fused_gates: ClassVar[tuple[str, ...]] = ("silu", "swish")
    unfused: ClassVar[tuple[str, ...]] = ()
    norm_names: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")

    def build(self) -> None:
        self.blocks = [self.make_block(f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("norm", self.spec.hidden)

    def make_block(self, path: str, repeat: int) -> Block:
        """The layers of one block, in the order of named_parameters(): attention, feed-forward, norms."""
        attn, mlp = f"{path}self_attn", f"{path}mlp"
        linears = {one[0]: self.maker.linear(attn, *one, repeat) for one in self.attention_linears()}
        norms = {name: self.make_norm(f"{attn}.{name}", *shape, repeat=repeat) for name, shape in self.qk_norms()}
        linears |= {one[0]: self.maker.linear(mlp, *one, repeat) for one in self.mlp_linears()}
        norms |= {name: self.make_norm(f"{path}{name}", self.spec.hidden, repeat=repeat) for name in self.norm_names}
        return Block(linears, norms)

    def attention_linears(self) -> list[LinearShape]:
        """Name, inputs, outputs and whether there is a bias, for each linear layer of the attention."""
        spec = self.spec
        h, q, kv = spec.hidden, spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        return [
            ("q_proj", h, q, spec.qkv_bias),
            ("k_proj", h, kv, spec.qkv_bias),
            ("v_proj", h, kv, spec.qkv_bias),
            ("o_proj", q, h, spec.output_bias),
        ]

    def mlp_linears(self) -> list[LinearShape]:
        """The same for the feed-forward."""
        h, ffn, bias = self.spec.hidden, self.spec.ffn, self.spec.mlp_bias
        return [("gate_proj", h, ffn, bias), ("up_proj", h, ffn, bias), ("down_proj", ffn, h, bias)]

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of the norms on queries and keys."""
        return [(name, (self.spec.head_dim,)) for name in ("q_norm", "k_norm")] if self.spec.qk_norm else []

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        """A norm with its parameters."""
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        fused = not path.endswith(self.unfused)
        return lambda x: rms_norm(x, weight, fused=fused)

    @property
    def softcapped(self) -> bool:
        """Whether attention scores go through a tanh."""
        return False

    @property
    def rotary_dim(self) -> int:
        """How many of a head's values are rotated."""
        return self.spec.head_dim

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        half = (self.rotary_dim // 2,)
        return [("rotary_emb.inv_freq", half, Format.FP32), ("rotary_emb.original_inv_freq", half, Format.FP32)]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        return (inputs_embeds,)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.rotary_dim, fmt)

    def final(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        hidden = gathered(one.norms["input_layernorm"](hidden), run.length, run.split)
        hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = scattered(hidden, run.split)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = gathered(one.norms["post_attention_layernorm"](hidden), run.length, run.split)
        hidden = scattered(self.fed(self.mlp(one, hidden), run), run.split)
        hidden = ops.add(residual, hidden)
        del weights  # the block's local variable holds eager attention's weights until here
        return hidden

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        """The feed-forward on x (batch, length, hidden)."""
        gate, up, down = (one.linears[name] for name in ("gate_proj", "up_proj", "down_proj"))
        if x.tape.liger and self.spec.activation in self.fused_gates:
            return down(ops.fused_swiglu(gate(x), up(x)))
        return down(ops.mul(activation(self.spec.activation, gate(x)), up(x)))

    def attend(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Self-attention on hidden states (batch, length, hidden); also eager attention's weights."""
        spec = self.spec
        query, key, value, *held = self.project(one, hidden, run)
        query, key, *others = self.position(index, query, key, shared)
        query = self.positioned(one, "query", query)
        key = self.positioned(one, "key", key)
        if run.cache is not None:
            window = spec.window(self.plan[index].layer)
            key, value = run.cache.update(index, key, value, window, run.past)
        p = spec.attention_dropout if run.training else 0.0
        wide = Format.FP32 if self.wide_softmax else None
        out, weights = attention(
            query, key, value, mask, run, p, wide, self.softcapped, self.by_head, self.wide_softmax
        )
        out = self.attended(one.linears["o_proj"](out), run)
        del held, others
        return out, weights

    def positioned(self, one: Block, name: str, x: Tensor) -> Tensor:
        """What becomes of the queries or keys (``name``: "query", "key") once they have their positions."""
        return x

    def attended(self, out: Tensor, run: Run) -> Tensor:
        """What becomes of the attention's result before it leaves the attention."""
        return out

    def fed(self, out: Tensor, run: Run) -> Tensor:
        """What becomes of the feed-forward's result before it leaves the feed-forward."""
        return out

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        """Queries (batch, heads, length, d), keys and values (batch, kv_heads, length, d), and local variables that
        live as long as the attention."""
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        query = self._heads(one.linears["q_proj"](hidden), one.norms.get("q_norm"), b, s, spec.heads, d)
        key = self._heads(one.linears["k_proj"](hidden), one.norms.get("k_norm"), b, s, spec.kv_heads, d)
        value = one.linears["v_proj"](hidden).view(b, spec.kv_heads, s, d)
        return query, key, value

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Rotary positions on queries and keys of block ``index``; and local variables as in ``project``."""
        cos, sin = shared[:2]
        return rotate(query, cos, sin), rotate(key, cos, sin)

    def _heads(self, x: Tensor, norm: Norm | None, b: Size, s: Size, heads: int, d: int) -> Tensor:
        if norm is None:
            return x.view(b, heads, s, d)
        return norm(x.view(b, s, heads, d)).view(b, heads, s, d)


def rotary_table(tape: Tape, run: Run, width: int, fmt: Format) -> list[Tensor]:
    """Rotary cosines and sines (1, length, width), computed in fp32 and cast to the model's format."""
    shape = (1, run.length, width)
    freqs = fresh(tape, (1, run.length, width // 2), Format.FP32, "rotary frequencies")
    emb = fresh(tape, shape, Format.FP32, "rotary angles")
    cos = fresh(tape, shape, Format.FP32, "cos")
    sin = fresh(tape, shape, Format.FP32, "sin")
    del freqs, emb
    return [ops.to(cos, fmt), ops.to(sin, fmt)]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x (batch, heads, length, d): ``x * cos + rotate_half(x) * sin``."""
    if x.tape.liger:
        return ops.fused_rotary(x, cos, sin)
    return ops.add(ops.mul(x, cos), ops.mul(rotate_half(x), sin))


def rotate_half(x: Tensor) -> Tensor:
    """``cat((-x2, x1))`` of x's halves, or ``stack`` of its even and odd values: the same tensors."""
    half = x.shape[-1] // 2
    first = ops.slice_last(x, half)
    second = ops.slice_last(x, half)
    return ops.cat_halves(ops.neg(second), first)
