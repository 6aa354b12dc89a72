"""Gemma 1, 2 and 3 (text): norms wholly in fp32 with weights around one, scaled embeddings; from Gemma 2 on norms on
both sides of attention and feed-forward, soft caps and sliding layers; in Gemma 3 norms on queries and keys and a
rotary table for each kind of layer.

Mirrors transformers 5.23 models/gemma/modeling_gemma.py, gemma2/modeling_gemma2.py and gemma3/modeling_gemma3.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.layers import Norm
from memcalc.architectures.llama import Llama, rotary_table
from memcalc.architectures.run import Run
from memcalc.architectures.sandwich import Sandwich
from memcalc.architectures.spec import DecoderSpec
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import Source, operator
from memcalc.tensors.ops.elementwise import Grads
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class GemmaSpec(DecoderSpec):
    """A Gemma model; whether attention scores and logits are squashed (``c * tanh(x / c)``)."""

    attention_softcap: bool = False
    logits_softcap: bool = False


class Gemma(Llama):
    """Gemma 1: Llama with its own norm, scaled embeddings and gelu."""

    fused_gates = ("gelu_pytorch_tanh",)
    fused_in_place: ClassVar[bool] = True

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        in_place = self.fused_in_place
        return lambda x: ops.fused_rms_norm(x, weight, in_place) if x.tape.liger else gemma_norm(x, weight)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return [("embed_tokens.embed_scale", (1,), self.maker.format), *super().buffers()]

    def embed_tokens(self, ids: Tensor) -> Tensor:
        return ops.scale(ops.embedding(ids, self.table))


class Gemma2(Sandwich, Gemma):
    """Gemma 2: norms around attention and feed-forward, soft caps, every second layer sliding."""

    spec: GemmaSpec
    fused_in_place = False
    norm_names = (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    )
    around = norm_names

    @property
    def softcapped(self) -> bool:
        return self.spec.attention_softcap

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        # Both masks are made, whichever kinds of layers there are.
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys((None, *self.spec.windows))}

    def project_out(self, hidden: Tensor) -> Tensor:
        logits = self.head(hidden)
        if self.spec.logits_softcap:
            logits = ops.scale(logits, "div")
            logits = ops.tanh(logits)
            logits = ops.scale(logits)
        return logits


class Gemma3(Gemma2):
    """Gemma 3's text model: norms on queries and keys instead of capped scores, two rotary tables."""

    @property
    def softcapped(self) -> bool:
        return False

    @property
    def kinds(self) -> list[int | None]:
        """The windows among the layers; None is full attention."""
        return list(dict.fromkeys(self.spec.windows))

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        scale, *table = super().buffers()
        return [scale, *(table * len(self.kinds))]

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        tables: list[Tensor] = []
        for _ in self.kinds:
            tables += rotary_table(tape, run, self.rotary_dim, fmt)
        return tables

    def shared_by(self, index: int, shared: Sequence[Tensor]) -> Sequence[Tensor]:
        first = 2 * self.kinds.index(self.spec.window(self.plan[index].layer))
        return shared[first : first + 2]


def gemma_norm(x: Tensor, weight: Parameter) -> Tensor:
    """GemmaRMSNorm: normalised and multiplied by 1 + weight in fp32, cast back at the end."""
    output = normalised(ops.to(x, Format.FP32))
    output = ops.mul(output, _one_plus(x.tape, weight))
    return ops.to(output, x.format)


def normalised(x: Tensor) -> Tensor:
    """``x * rsqrt(x.pow(2).mean(-1) + eps)``."""
    return ops.mul(x, ops.rsqrt(ops.add_scalar(ops.mean_last(ops.power(x)))))


def _one_plus(tape: Tape, weight: Parameter) -> Tensor:
    """``1.0 + weight.float()``."""

    def backward(grad: Tensor) -> Grads:
        return [grad]

    source: Source = weight
    if weight.format is not Format.FP32:
        source = operator(tape, "to", (weight,), weight.shape, Format.FP32, backward)
    return operator(tape, "add", (source,), weight.shape, Format.FP32, backward)
