"""Zamba2: Mamba-2 layers, some of which first hear what an attention block says that several of them share.

Mirrors transformers 5.23 models/zamba2/modeling_zamba2.py without the kernels of mamba-ssm and causal-conv1d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from memcalc.architectures.layers import Linear, LinearShape, Maker, activation
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.mamba2 import CODESTRAL, SsdMixer, mixed, ssd_mixer, ssd_states
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec, ModelSpec, State
from memcalc.architectures.ssd import Ssd
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor

SCANNED = "silu"
"""The activation of the convolution, whatever the feed-forward's is."""


@dataclass(frozen=True, slots=True)
class Zamba2Spec(DecoderSpec):
    """Which layers hear a shared block (``hybrid_layers``), how many such blocks there are, the rank of the adapters
    that each layer has in them (``attention_adapters``: in the attention too), whether positions are rotated; the
    mixers' scan, taps of their convolution, their biases."""

    hybrid_layers: tuple[int, ...] = ()
    shared_blocks: int = 1
    rank: int = 128
    attention_adapters: bool = False
    rotary: bool = False
    ssd: Ssd = CODESTRAL
    kernel: int = 4
    conv_bias: bool = True
    linear_bias: bool = False

    def kind(self, layer: int) -> object:
        return layer in self.hybrid_layers

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        heads = self.kv_heads if layer in self.hybrid_layers else 0
        return (heads, self.head_dim), (heads, self.head_dim)

    def states(self, layer: int) -> tuple[State, ...]:
        return ssd_states(self.ssd, self.kernel)

    @property
    def by_length(self) -> bool:
        """Chunks: whether there is one or several decides what is copied."""
        return True


@dataclass(slots=True)
class Shared(Block):
    """A block that several layers hear, and each of these layers' own adapters in it, by the layer's number."""

    adapters: dict[tuple[int, str], tuple[Linear, Linear]] = field(default_factory=dict)


@dataclass(slots=True)
class MambaBlock(Block):
    """A layer's mixer, and the shared block that it hears (None: it hears none)."""

    mixer: SsdMixer
    shared: Shared | None = None


class Zamba2(Llama):
    """Every layer is run by itself: shared weights gather their gradients from all that use them."""

    spec: Zamba2Spec
    linear_names: ClassVar[tuple[str, ...]] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj", "in_proj", "out_proj", "linear",
    )  # fmt: skip
    peft_targets: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = True) -> None:
        super().__init__(spec, maker, unroll=True)

    def build(self) -> None:
        spec, maker = self.spec, self.maker
        made: list[Shared] = []
        self.blocks = []
        for layer in range(spec.layers):
            path = f"block {layer + 1}."
            heard: Shared | None = None
            one: dict[str, Linear] = {}
            if layer in spec.hybrid_layers:
                which = spec.hybrid_layers.index(layer) % spec.shared_blocks
                one["linear"] = maker.linear(path.removesuffix("."), "linear", spec.hidden, spec.hidden, False)
            mixer = ssd_mixer(maker, f"{path}mamba", spec, 1)
            norms = {"input_layernorm": self.make_norm(f"{path}input_layernorm", spec.hidden)}
            if layer in spec.hybrid_layers:
                if which == len(made):
                    made.append(self._shared(f"{path}shared_transformer", which))
                heard = made[which]
            self.blocks.append(MambaBlock(one, norms, mixer, heard))
        self.norm = self.make_norm("final_layernorm", spec.hidden)

    def _shared(self, path: str, which: int) -> Shared:
        """The ``which``-th shared block, with the adapters of all layers that hear it."""
        spec, maker = self.spec, self.maker
        h, wide, d = spec.hidden, 2 * spec.hidden, spec.head_dim
        heads, kv = spec.heads * d, spec.kv_heads * d
        one = Shared({}, {})
        shapes: list[LinearShape] = [("q_proj", wide, heads, False), ("k_proj", wide, kv, False)]
        shapes += [("v_proj", wide, kv, False), ("o_proj", heads, h, False)]
        one.linears |= {shape[0]: maker.linear(f"{path}.self_attn", *shape) for shape in shapes}
        hearers = [layer for i, layer in enumerate(spec.hybrid_layers) if i % spec.shared_blocks == which]
        if spec.attention_adapters:
            for name in ("q_proj", "k_proj", "v_proj"):
                self._adapt(one, f"{path}.self_attn", name, hearers, wide, wide)
        feeds: list[LinearShape] = [("gate_up_proj", h, 2 * spec.ffn, spec.mlp_bias)]
        feeds.append(("down_proj", spec.ffn, h, spec.mlp_bias))
        one.linears |= {shape[0]: maker.linear(f"{path}.feed_forward", *shape) for shape in feeds}
        self._adapt(one, f"{path}.feed_forward", "gate_up_proj", hearers, h, 2 * spec.ffn)
        one.norms = {
            "input_layernorm": self.make_norm(f"{path}.input_layernorm", wide),
            "pre_ff_layernorm": self.make_norm(f"{path}.pre_ff_layernorm", h),
        }
        return one

    def _adapt(self, one: Shared, path: str, name: str, layers: list[int], inputs: int, outputs: int) -> None:
        for layer in layers:
            down = self.maker.linear(f"{path}.{name}_adapter.{layer}", "0", inputs, self.spec.rank, False)
            up = self.maker.linear(f"{path}.{name}_adapter.{layer}", "1", self.spec.rank, outputs, False)
            one.adapters[layer, name] = down, up

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return super().buffers() if self.spec.rotary else []

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return super().shared(tape, run, fmt) if self.spec.rotary else []

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        self.original = ops.contiguous(inputs_embeds, True)
        return inputs_embeds, self.original

    def final(self, hidden: Tensor) -> Tensor:
        del self.original
        return self.norm(hidden)

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return super().position(index, query, key, shared) if self.spec.rotary else (query, key)

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        spec, b, s = self.spec, run.batch, run.length
        assert isinstance(one, Shared)
        query, key, value = (one.linears[name](hidden) for name in ("q_proj", "k_proj", "v_proj"))
        if spec.attention_adapters:
            query, key, value = (
                self._adapted(one, name, x, hidden)
                for name, x in (("q_proj", query), ("k_proj", key), ("v_proj", value))
            )
        query = query.view(b, spec.heads, s, spec.head_dim)
        return query, *(x.view(b, spec.kv_heads, s, spec.head_dim) for x in (key, value))

    def _adapted(self, one: Shared, name: str, x: Tensor, hidden: Tensor) -> Tensor:
        down, up = one.adapters[self.hearer, name]
        return ops.add(x, up(down(hidden)))

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        assert isinstance(one, MambaBlock)
        heard: Tensor | None = None
        if one.shared is not None:
            self.hearer = index
            heard = one.linears["linear"](self._hear(index, one.shared, hidden, run, shared, mask))
        residual = hidden
        if heard is not None:
            hidden = ops.add(hidden, heard)
        hidden = one.norms["input_layernorm"](hidden)
        hidden = mixed(index, self.spec, one.mixer, hidden, run, SCANNED)
        hidden = ops.add(residual, hidden)
        del heard
        return hidden

    def _hear(
        self, index: int, one: Shared, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> Tensor:
        """The shared block on hidden states and the embeddings beside them."""
        hidden = ops.cat_halves(hidden, self.original)
        hidden = one.norms["input_layernorm"](hidden)
        hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = one.norms["pre_ff_layernorm"](hidden)
        hidden = self.mlp(one, hidden)
        del weights
        return hidden

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        assert isinstance(one, Shared)
        both = self._adapted(one, "gate_up_proj", one.linears["gate_up_proj"](x), x)
        gate, up = ops.chunk_last(both, 2)
        del both
        y = ops.mul(activation(self.spec.activation, gate), up)
        out = one.linears["down_proj"](y)
        del gate, up
        return out
