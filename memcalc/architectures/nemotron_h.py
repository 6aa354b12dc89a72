"""Nemotron-H: blocks of one layer each, a Mamba-2 mixer, attention without positions, or a feed-forward.

Mirrors transformers 5.23 models/nemotron_h/modeling_nemotron_h.py without the kernels of mamba-ssm and causal-conv1d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from memcalc.architectures.layers import Norm, activation
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.mamba2 import CODESTRAL, SsdMixer, mixed, ssd_mixer, ssd_states
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec, State
from memcalc.architectures.ssd import Ssd
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import scan
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

Kind = Literal["linear_attention", "full_attention", "mlp"]


@dataclass(frozen=True, slots=True)
class NemotronHSpec(DecoderSpec):
    """Each layer's kind; the mixers' scan, taps of their convolution, their biases and activation."""

    kinds: tuple[Kind, ...] = ()
    ssd: Ssd = CODESTRAL
    kernel: int = 4
    conv_bias: bool = True
    linear_bias: bool = False
    mixer_activation: str = "silu"

    def kind(self, layer: int) -> object:
        return self.kinds[layer]

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        heads = self.kv_heads if self.kinds[layer] == "full_attention" else 0
        return (heads, self.head_dim), (heads, self.head_dim)

    def states(self, layer: int) -> tuple[State, ...]:
        if self.kinds[layer] != "linear_attention":
            return ()
        return ssd_states(self.ssd, self.kernel)

    @property
    def by_length(self) -> bool:
        """Chunks: whether there is one or several decides what is copied."""
        return True


@dataclass(slots=True)
class LoneBlock(Block):
    """A block's mixer, if it has one."""

    mixer: SsdMixer | None = None


class NemotronH(Llama):
    """Adapters reach the attention's layers by PEFT's own list."""

    spec: NemotronHSpec
    linear_names: ClassVar[tuple[str, ...]] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "in_proj", "out_proj",
    )  # fmt: skip
    peft_targets: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "o_proj")

    def build(self) -> None:
        self.blocks = [self._layer(one.layer, f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("norm_f", self.spec.hidden)

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        return lambda x: wide_norm(x, weight)

    def _layer(self, layer: int, path: str, repeat: int) -> LoneBlock:
        spec, maker, mixer = self.spec, self.maker, f"{path}mixer"
        one = LoneBlock({}, {"norm": self.make_norm(f"{path}norm", spec.hidden, repeat=repeat)})
        if spec.kinds[layer] == "linear_attention":
            one.mixer = ssd_mixer(maker, mixer, spec, repeat)
            return one
        linears = self.attention_linears() if spec.kinds[layer] == "full_attention" else self.mlp_linears()[1:]
        one.linears = {shape[0]: maker.linear(mixer, *shape, repeat) for shape in linears}
        return one

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return []

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return []

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return query, key

    def project_out(self, hidden: Tensor) -> Tensor:
        return ops.to(self.head(hidden), Format.FP32)

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, kind = self.blocks[index], self.spec.kinds[self.plan[index].layer]
        assert isinstance(one, LoneBlock)
        residual, weights = hidden, None
        hidden = one.norms["norm"](ops.to(hidden, self.maker.format))
        if one.mixer is not None:
            hidden = mixed(index, self.spec, one.mixer, hidden, run, self.spec.mixer_activation)
        elif kind == "full_attention":
            hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        else:
            hidden = self.mlp(one, hidden)
        hidden = ops.add(residual, hidden)
        del weights
        return hidden

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        return one.linears["down_proj"](activation(self.spec.activation, one.linears["up_proj"](x)))


def wide_norm(x: Tensor, weight: Parameter) -> Tensor:
    """RMSNorm whose weight is multiplied in fp32, both cast before [NemotronHRMSNorm]."""
    fmt = x.format
    x = ops.to(x, Format.FP32)
    variance = ops.mean_last(ops.power(x))
    x = ops.mul(x, ops.rsqrt(ops.add_scalar(variance)))
    wide = scan.widened(weight, x)
    x = ops.to(scan.row_times(wide, x) if isinstance(wide, Tensor) else ops.mul(x, wide), fmt)
    del variance
    return x
