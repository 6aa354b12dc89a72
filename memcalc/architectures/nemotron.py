"""Arcee (AFM) and Nemotron (Minitron): Llama with a feed-forward of two layers and a squared relu; Nemotron also with
layer norms whose weights lie around one and rotary positions on part of each head.

Mirrors transformers 5.23 models/arcee/modeling_arcee.py and models/nemotron/modeling_nemotron.py.
"""

from __future__ import annotations

from memcalc.architectures.layers import LinearShape, Norm, activation
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.rotary import PartialRotary
from memcalc.tensors import ops
from memcalc.tensors.autograd import keep, operator
from memcalc.tensors.ops.elementwise import Grads
from memcalc.tensors.tensor import Parameter, Tensor


class Arcee(Llama):
    """No gate in the feed-forward."""

    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj")

    def mlp_linears(self) -> list[LinearShape]:
        return super().mlp_linears()[1:]

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        return one.linears["down_proj"](activation(self.spec.activation, one.linears["up_proj"](x)))


class Nemotron(PartialRotary, Arcee):
    """Layer norms with weights and biases."""

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        bias = self.maker.parameter(f"{path}.bias", *shape, repeat=repeat)
        return lambda x: layer_norm_1p(x, weight, bias)


def layer_norm_1p(x: Tensor, weight: Parameter, bias: Parameter) -> Tensor:
    """``F.layer_norm(x, weight + 1, bias)``; under autocast all three are cast to its format, and it is switched off
    for the norm."""
    tape = x.tape
    outer, around = tape.autocast, _plus_one(x, weight)
    shift: Tensor | Parameter = bias
    if outer is not None:
        x, around = ops.to(x, outer.format), ops.to(around, outer.format)
        shift = bias if bias.format is outer.format else _cast(x, bias)
        tape.autocast = None
    out = ops.layer_norm(x, around, shift)
    tape.autocast = outer
    if out.node is not None:
        keep(tape, out.node, [one for one in (around, shift) if isinstance(one, Tensor)])
    return out


def _plus_one(x: Tensor, weight: Parameter) -> Tensor:
    def backward(grad: Tensor) -> Grads:
        return [grad]

    return operator(x.tape, "add", (weight,), weight.shape, weight.format, backward)


def _cast(x: Tensor, bias: Parameter) -> Tensor:
    def backward(grad: Tensor) -> Grads:
        return [grad]

    return operator(x.tape, "to", (bias,), bias.shape, x.format, backward)
