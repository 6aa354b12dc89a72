"""Jamba: Mamba layers, every so many an attention layer without positions, every so many a mixture of experts.

Mirrors transformers 5.23 models/jamba/modeling_jamba.py without the kernels of mamba-ssm and causal-conv1d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.experts import Experts, softmax_router
from memcalc.architectures.layers import Linear, Norm
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.mamba import Mixer, mamba_mixer, mixed
from memcalc.architectures.moe import MoeSpec
from memcalc.architectures.run import Run
from memcalc.architectures.selective_scan import scan_states
from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class JambaSpec(MoeSpec):
    """A decoder whose ``attention_layers`` attend and whose others scan (see MambaSpec for the scan's sizes)."""

    attention_layers: tuple[int, ...] = ()
    inner: int = 8192
    state_size: int = 16
    kernel: int = 4
    rank: int = 256
    conv_bias: bool = True
    linear_bias: bool = False

    def kind(self, layer: int) -> object:
        return layer in self.attention_layers, layer in self.dense_layers

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        heads = self.kv_heads if layer in self.attention_layers else 0
        return (heads, self.head_dim), (heads, self.head_dim)

    def states(self, layer: int) -> tuple[State, ...]:
        return () if layer in self.attention_layers else scan_states(self)

    @property
    def by_length(self) -> bool:
        """A loop over the tokens."""
        return True


@dataclass(slots=True)
class JambaBlock(Block):
    """A block with a mixer (None: it attends), and with a router and experts (None: its feed-forward is dense)."""

    mixer: Mixer | None
    inner_norms: list[Norm]
    router: Parameter | None
    experts: Experts | None


class Jamba(Llama):
    """Adapters reach the linear layers, not the router and the experts."""

    spec: JambaSpec
    linear_names: ClassVar[tuple[str, ...]] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
        "in_proj", "x_proj", "dt_proj", "out_proj",
    )  # fmt: skip
    peft_targets: ClassVar[tuple[str, ...]] = ()

    def build(self) -> None:
        self.blocks = [self._block(one.layer, f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("final_layernorm", self.spec.hidden)

    def _block(self, layer: int, path: str, repeat: int) -> JambaBlock:
        spec, maker = self.spec, self.maker
        linears: dict[str, Linear] = {}
        norms: dict[str, Norm] = {}
        mixer, inner_norms = None, []
        if layer in spec.attention_layers:
            linears |= {one[0]: maker.linear(f"{path}self_attn", *one, repeat) for one in self.attention_linears()}
        else:
            mixer = mamba_mixer(maker, f"{path}mamba", spec.hidden, spec, spec.conv_bias, spec.linear_bias, repeat)
            widths = (("dt", spec.rank), ("b", spec.state_size), ("c", spec.state_size))
            inner_norms = [self.make_norm(f"{path}mamba.{a}_layernorm", width, repeat=repeat) for a, width in widths]
        router, experts, ffn = None, None, f"{path}feed_forward"
        if layer in spec.dense_layers:
            linears |= {one[0]: maker.linear(ffn, *one, repeat) for one in self.mlp_linears()}
        else:
            router = maker.parameter(f"{ffn}.router.weight", spec.experts, spec.hidden, repeat=repeat)
            experts = Experts.make(
                maker, f"{ffn}.experts", spec.experts, spec.hidden, spec.expert_ffn, spec.activation, repeat
            )
        norms |= {
            name: self.make_norm(f"{path}{name}", spec.hidden, repeat=repeat)
            for name in ("input_layernorm", "pre_ff_layernorm")
        }
        return JambaBlock(linears, norms, mixer, inner_norms, router, experts)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return []

    @property
    def idle_parameters(self) -> int:
        return self.spec.idle(self.parameters)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return []

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return query, key

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        assert isinstance(one, JambaBlock)
        residual = hidden
        hidden = one.norms["input_layernorm"](hidden)
        weights = None
        if one.mixer is None:
            hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        else:
            hidden = mixed(index, self.spec, one.mixer, hidden, run, one.inner_norms)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = self.mlp(one, one.norms["pre_ff_layernorm"](hidden))
        hidden = ops.add(residual, hidden)
        del weights
        return hidden

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        assert isinstance(one, JambaBlock)
        if one.router is None or one.experts is None:
            return super().mlp(one, x)
        batch, length, hidden = x.shape
        flat = x.view(batch * length, hidden)
        logits, weights, index = softmax_router(flat, one.router, self.spec.chosen, False, True)
        out = one.experts(flat, index, weights)
        del logits
        return out.view(batch, length, hidden)
