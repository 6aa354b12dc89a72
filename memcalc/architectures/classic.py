"""What the decoders between GPT-2 and Llama share: LayerNorm with a bias, one path of products, gelu or relu.

A family lists its layers in the order of ``named_parameters()`` and writes its own block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Linear, LinearShape, Norm
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Shape, Tensor


@dataclass(slots=True)
class Block:
    """The layers of one decoder block, by the last part of their names in the model code (a second linear layer of the
    same name: by its whole path)."""

    linears: dict[str, Linear]
    norms: dict[str, Norm]


class Classic(Decoder):
    """A decoder with LayerNorm whose blocks are lists of named layers."""

    final_norm: ClassVar[str] = "final_layer_norm"
    transposed: ClassVar[bool] = False

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        """The layers of a block in order: a name (a norm over hidden states), a name and a width (a norm over
        that many values) or a linear layer's path, inputs, outputs and whether it has a bias."""
        raise NotImplementedError

    def build(self) -> None:
        self.blocks = [self._block(one.label, one.repeat) for one in self.plan]
        self.norm: Norm = self.make_norm(self.final_norm, self.spec.hidden)

    def _block(self, label: str, repeat: int) -> Block:
        block = Block({}, {})
        for one in self.layers():
            if isinstance(one, str):
                block.norms[one] = self.make_norm(f"{label}.{one}", self.spec.hidden, repeat)
            elif len(one) == 2:
                block.norms[one[0]] = self.make_norm(f"{label}.{one[0]}", one[1], repeat)
            else:
                path, _, name = f"{label}.{one[0]}".rpartition(".")
                key = one[0] if name in block.linears else name
                block.linears[key] = self.maker.linear(path, name, *one[1:], repeat, self.transposed)
        return block

    def make_norm(self, path: str, width: int, repeat: int = 1) -> Norm:
        """A LayerNorm over ``width`` values."""
        weight = self.maker.parameter(f"{path}.weight", width, repeat=repeat)
        bias = self.maker.parameter(f"{path}.bias", width, repeat=repeat)
        return lambda x: ops.layer_norm(x, weight, bias)

    def final(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden)


def by_heads(x: Tensor, shape: Shape) -> Tensor:
    """``x.view(batch, length, heads, …).transpose(1, 2)``: a view, whose gradient, joined head by head, has to be
    copied to look at it token by token again."""
    tape, whole, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, whole, fmt, "clone (gradient)")]

    return Tensor(x.storage, shape, fmt, graph_node(tape, (x,), backward), 0, True)


def reshaped(x: Tensor, *shape: Size) -> Tensor:
    """``x.reshape(shape)`` that copies nothing: a step of its own in the graph, whose gradient is a view."""
    old = x.shape

    def backward(grad: Tensor) -> Grads:
        return [grad.view(*old)]

    return Tensor(x.storage, shape, x.format, graph_node(x.tape, (x,), backward), 0, True)


def split_last(x: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """``x.split(widths, -1)``: views; backward joins their gradients into one of x's size."""
    tape, whole, fmt = x.tape, x.shape, x.format

    def backward(*grads: Tensor | None) -> Grads:
        return [fresh(tape, whole, fmt, "cat (split gradient)")]

    node = graph_node(tape, (x,), backward, slots=len(widths))
    return [Tensor(x.storage, (*whole[:-1], w), fmt, node, slot, True) for slot, w in enumerate(widths)]
