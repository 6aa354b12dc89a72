"""Bamba and Granite 4: blocks with a Mamba-2 mixer or with attention, and a feed-forward in each.

Mirrors transformers 5.23 models/{bamba,granitemoehybrid}/modeling_*.py without the kernels of mamba-ssm and
causal-conv1d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.experts import Experts
from memcalc.architectures.gpt_neox import rotate_both
from memcalc.architectures.layers import Linear, LinearShape, Norm, activation
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.mamba2 import CODESTRAL, SsdMixer, mixed, ssd_mixer, ssd_states
from memcalc.architectures.moe import MoeSpec
from memcalc.architectures.run import Run
from memcalc.architectures.spec import State
from memcalc.architectures.ssd import Ssd
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.routing import top_k
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class SsdHybridSpec(MoeSpec):
    """A decoder whose ``attention_layers`` attend and whose others have a mixer: its scan, taps of its convolution, its
    biases. ``rotary_dim``: how many of a head's values are rotated (0: none); ``shared_ffn``: width of the experts that
    every token goes through."""

    attention_layers: tuple[int, ...] = ()
    ssd: Ssd = CODESTRAL
    kernel: int = 4
    conv_bias: bool = True
    linear_bias: bool = False
    rotary_dim: int = 0
    shared_ffn: int = 0

    def kind(self, layer: int) -> object:
        return layer in self.attention_layers

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        heads = self.kv_heads if layer in self.attention_layers else 0
        return (heads, self.head_dim), (heads, self.head_dim)

    def states(self, layer: int) -> tuple[State, ...]:
        return () if layer in self.attention_layers else ssd_states(self.ssd, self.kernel)

    @property
    def by_length(self) -> bool:
        """Chunks: whether there is one or several decides what is copied."""
        return True


@dataclass(slots=True)
class SsdBlock(Block):
    """A block with a mixer (None: it attends), and with a router and experts (None: it has none)."""

    mixer: SsdMixer | None = None
    router: Parameter | None = None
    experts: Experts | None = None


class Bamba(Llama):
    """Attention with positions on half of each head. PEFT names no layers to adapt by itself."""

    spec: SsdHybridSpec
    linear_names: ClassVar[tuple[str, ...]] = (*Llama.linear_names, "in_proj", "out_proj")
    peft_targets: ClassVar[tuple[str, ...]] = ()
    by_head: ClassVar[bool] = True
    norm_names = ("input_layernorm", "pre_ff_layernorm")
    final_name: ClassVar[str] = "final_layernorm"

    def build(self) -> None:
        self.blocks = [self.make_layer(one.layer, f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm(self.final_name, self.spec.hidden)

    def make_layer(self, layer: int, path: str, repeat: int) -> Block:
        """The block of ``layer``, with its parameters in the order of named_parameters()."""
        one = SsdBlock(self.feed_forward(path, repeat), self.block_norms(path, repeat))
        self.add_mixer(one, layer, path, repeat)
        return one

    def feed_forward(self, path: str, repeat: int) -> dict[str, Linear]:
        return {one[0]: self.maker.linear(f"{path}feed_forward", *one, repeat) for one in self.mlp_linears()}

    def block_norms(self, path: str, repeat: int) -> dict[str, Norm]:
        return {name: self.make_norm(f"{path}{name}", self.spec.hidden, repeat=repeat) for name in self.norm_names}

    def add_mixer(self, one: SsdBlock, layer: int, path: str, repeat: int) -> None:
        """The layers of attention, or the mixer in their place."""
        if layer in self.spec.attention_layers:
            attn = f"{path}self_attn"
            one.linears |= {shape[0]: self.maker.linear(attn, *shape, repeat) for shape in self.attention_linears()}
        else:
            one.mixer = ssd_mixer(self.maker, f"{path}mamba", self.spec, repeat)

    @property
    def rotary_dim(self) -> int:
        return self.spec.rotary_dim

    @property
    def idle_parameters(self) -> int:
        return self.spec.idle(self.parameters)

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return rotate_both(query, key, shared, self.rotary_dim)

    def mixed(
        self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What the block's mixer or attention makes of normed hidden states."""
        one = self.blocks[index]
        assert isinstance(one, SsdBlock)
        if one.mixer is None:
            return self.attend(index, one, hidden, run, shared, mask)
        return mixed(index, self.spec, one.mixer, hidden, run), None

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        hidden, weights = self.mixed(index, hidden, run, shared, mask)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = one.norms["pre_ff_layernorm"](hidden)
        hidden = self.mlp(one, hidden)
        hidden = ops.add(residual, hidden)
        del weights
        return hidden


class Granite4(Bamba):
    """Multipliers as in Granite, one product for gate and up; experts beside those that every token goes through.
    Adapters reach the linear layers, not the router and the experts."""

    linear_names: ClassVar[tuple[str, ...]] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "input_linear", "output_linear", "in_proj", "out_proj",
    )  # fmt: skip
    by_head: ClassVar[bool] = False
    passes_positions: ClassVar[bool] = False
    norm_names = ("input_layernorm", "post_attention_layernorm")
    final_name: ClassVar[str] = "norm"

    def make_layer(self, layer: int, path: str, repeat: int) -> Block:
        spec, maker, sparse = self.spec, self.maker, f"{path}block_sparse_moe"
        one = SsdBlock({}, self.block_norms(path, repeat))
        if spec.experts > 1:
            one.router = maker.parameter(f"{sparse}.router.weight", spec.experts, spec.hidden, repeat=repeat)
            one.experts = Experts.make(
                maker, f"{sparse}.experts", spec.experts, spec.hidden, spec.expert_ffn, spec.activation, repeat
            )
        shapes: list[LinearShape] = [
            ("input_linear", spec.hidden, 2 * spec.shared_ffn, False),
            ("output_linear", spec.shared_ffn, spec.hidden, False),
        ]
        one.linears |= {shape[0]: maker.linear(f"{path}shared_mlp", *shape, repeat) for shape in shapes}
        self.add_mixer(one, layer, path, repeat)
        return one

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return super().buffers() if self.rotary_dim else []

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return super().shared(tape, run, fmt) if self.rotary_dim else []

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return Llama.position(self, index, query, key, shared) if self.rotary_dim else (query, key)

    def scaled(self, inputs_embeds: Tensor) -> Tensor:
        return ops.scale(inputs_embeds)

    def project_out(self, hidden: Tensor) -> Tensor:
        return ops.scale(self.head(hidden), "div")

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        assert isinstance(one, SsdBlock)
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        hidden, _ = self.mixed(index, hidden, run, shared, mask)
        hidden = ops.add(residual, ops.scale(hidden))
        residual = hidden
        hidden = one.norms["post_attention_layernorm"](hidden)
        if one.experts is not None:
            routed = self._routed(one, hidden)
            hidden = ops.add(routed, self.mlp(one, hidden))
        else:
            routed = None
            hidden = self.mlp(one, hidden)
        hidden = ops.add(residual, ops.scale(hidden))
        del routed, _
        return hidden

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        both = one.linears["input_linear"](x)
        gate, up = ops.chunk_last(both, 2)
        del both
        y = ops.mul(activation(self.spec.activation, gate), up)
        out = one.linears["output_linear"](y)
        del gate, up
        return out

    def _routed(self, one: SsdBlock, x: Tensor) -> Tensor:
        """The experts that the router chooses: the best scores in fp32, their softmax."""
        assert one.router is not None
        assert one.experts is not None
        batch, length, hidden = x.shape
        flat = x.view(batch * length, hidden)
        weights, index = self._route(flat, one.router)
        return one.experts(flat, index, weights).view(batch, length, hidden)

    def _route(self, x: Tensor, router: Parameter) -> tuple[Tensor, Tensor]:
        logits = ops.to(ops.linear(x, router), Format.FP32)
        scores, index = top_k(logits, self.spec.chosen)
        weights = ops.to(ops.softmax(scores, Format.FP32), x.format)
        del logits, scores
        return weights, index
