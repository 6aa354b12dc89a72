"""LFM2: short gated convolutions in most blocks, attention in the others, a feed-forward in each.

Mirrors transformers 5.23 models/lfm2/modeling_lfm2.py without the kernels of causal-conv1d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.layers import Linear, LinearShape
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.mamba import masked
from memcalc.architectures.run import Run
from memcalc.architectures.selective_scan import convolved
from memcalc.architectures.spec import DecoderSpec, State
from memcalc.tensors import ops
from memcalc.tensors.ops import scan
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class Lfm2Spec(DecoderSpec):
    """Which layers attend; taps of the others' convolution, and whether they have biases."""

    attention_layers: tuple[int, ...] = ()
    kernel: int = 3
    conv_bias: bool = False

    def kind(self, layer: int) -> object:
        return layer in self.attention_layers

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        heads = self.kv_heads if layer in self.attention_layers else 0
        return (heads, self.head_dim), (heads, self.head_dim)

    def states(self, layer: int) -> tuple[State, ...]:
        return () if layer in self.attention_layers else (State("convolution", (self.hidden, self.kernel)),)


@dataclass(slots=True)
class ConvBlock(Block):
    """A block with a convolution (None: it attends)."""

    conv: Parameter | None = None
    conv_bias: Parameter | None = None


class Lfm2(Llama):
    """Queries and keys are normed. PEFT names no layers to adapt by itself."""

    spec: Lfm2Spec
    linear_names: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3")
    peft_targets: ClassVar[tuple[str, ...]] = ()
    norm_names = ("operator_norm", "ffn_norm")

    def build(self) -> None:
        self.blocks = [self._layer(one.layer, f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("embedding_norm", self.spec.hidden)

    def _layer(self, layer: int, path: str, repeat: int) -> ConvBlock:
        """The block of ``layer``, with its parameters in the order of named_parameters()."""
        spec, maker = self.spec, self.maker
        one = ConvBlock({}, {})
        if layer in spec.attention_layers:
            attn = f"{path}self_attn"
            shapes = dict(zip(("q_proj", "k_proj", "v_proj", "out_proj"), self.attention_linears(), strict=True))
            made = {name: maker.linear(attn, name, *shape[1:], repeat) for name, shape in shapes.items()}
            one.linears |= {"o_proj" if name == "out_proj" else name: linear for name, linear in made.items()}
            for name in ("q", "k"):
                one.norms[f"{name}_norm"] = self.make_norm(f"{attn}.{name}_layernorm", spec.head_dim, repeat=repeat)
        else:
            conv, h = f"{path}conv", spec.hidden
            one.conv = maker.parameter(f"{conv}.conv.weight", h, 1, spec.kernel, repeat=repeat)
            one.conv_bias = maker.parameter(f"{conv}.conv.bias", h, repeat=repeat) if spec.conv_bias else None
            for name, width in (("in_proj", 3 * h), ("out_proj", h)):
                one.linears[name] = maker.linear(conv, name, h, width, spec.conv_bias, repeat)
        one.linears |= self._ffn(path, repeat)
        one.norms |= {name: self.make_norm(f"{path}{name}", spec.hidden, repeat=repeat) for name in self.norm_names}
        return one

    def _ffn(self, path: str, repeat: int) -> dict[str, Linear]:
        h, ffn = self.spec.hidden, self.spec.ffn
        shapes: list[tuple[str, LinearShape]] = [
            ("gate_proj", ("w1", h, ffn, False)),
            ("up_proj", ("w3", h, ffn, False)),
            ("down_proj", ("w2", ffn, h, False)),
        ]
        return {key: self.maker.linear(f"{path}feed_forward", *shape, repeat) for key, shape in shapes}

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        assert isinstance(one, ConvBlock)
        residual, weights = hidden, None
        hidden = one.norms["operator_norm"](hidden)
        if one.conv is None:
            hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        else:
            hidden = self._convolved(index, one, hidden, run)
        hidden = ops.add(hidden, residual)
        hidden = ops.add(hidden, self.mlp(one, one.norms["ffn_norm"](hidden)))
        del residual, weights
        return hidden

    def _convolved(self, index: int, one: ConvBlock, hidden: Tensor, run: Run) -> Tensor:
        """The convolution of normed hidden states (batch, length, hidden), gated before and after."""
        spec, b, s = self.spec, run.batch, run.length
        assert one.conv is not None
        if masked(run, hidden.tape):
            hidden = scan.times_mask(hidden, run.padding)
        both = one.linears["in_proj"](hidden)
        before, after, x = ops.split_last(both, [spec.hidden] * 3)
        hidden = ops.mul(before, x).view(b, spec.hidden, s)
        hidden = convolved(
            index, hidden, one.conv, one.conv_bias, run, State("convolution", (spec.hidden, spec.kernel))
        )
        y = ops.mul(after, hidden.view(b, s, spec.hidden))
        out = one.linears["out_proj"](y)
        del both, before, after, x, hidden
        return out
