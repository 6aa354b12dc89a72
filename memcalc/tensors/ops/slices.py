"""Tensors cut into pieces, filled up and put together again.

Each mirrors torch 2.13's formula for backward [tools/autograd/derivatives.yaml,
torch/csrc/autograd/FunctionsManual.cpp].
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh, slice_last, to
from memcalc.tensors.tensor import Shape, Tensor


def padded(x: Tensor, shape: Shape) -> Tensor:
    """``F.pad`` to ``shape``, a copy also where nothing is missing; backward cuts it off again."""
    tape, own, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, own, fmt, "constant_pad_nd (gradient)")]

    return operator(tape, "constant_pad_nd", (x,), shape, fmt, backward)


def repeated(x: Tensor, shape: Shape) -> Tensor:
    """``repeat_interleave`` to ``shape``: backward sums."""
    tape, own, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, own, fmt, "sum (gradient)")]

    return operator(tape, "repeat_interleave", (x,), shape, fmt, backward)


def select(x: Tensor, shape: Shape) -> Tensor:
    """``x[:, :, i]`` or ``x[:, :n]``: a view; backward fills a zero tensor of x's whole size."""
    return slice_last(x, x.shape[-1]).view(*shape)


def reshaped(x: Tensor, shape: Shape, copies: bool = False) -> Tensor:
    """A reshape that is a node of its own: its gradient is a view, or where that arrives in another order and so
    ``copies``, a copy."""
    tape, own, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, own, fmt, "clone (gradient)") if copies else grad.view()]

    return Tensor(x.storage, shape, fmt, graph_node(tape, (x,), backward), 0, True)


def write_slice(base: Tensor, value: Tensor) -> Tensor:
    """``base[…] = value``: nothing is allocated; backward copies the whole gradient, cuts out the slice's, and leaves
    zeros in its place [torch/csrc/autograd/functions/tensor.cpp, CopySlices]."""
    tape, whole, fmt = base.tape, base.shape, base.format
    part, part_fmt, needs_base = value.shape, value.format, base.needs_grad

    def backward(grad: Tensor) -> Grads:
        result = fresh(tape, whole, fmt, "copy of the gradient")
        own = fresh(tape, part, fmt, "clone (gradient)")
        grads: Grads = []
        if needs_base:
            zeros = fresh(tape, part, fmt, "zeros_like (gradient)")
            grads.append(result)
            del zeros
        del result
        grads.append(to(own, part_fmt))
        return grads

    node = graph_node(tape, (base, value), backward)
    return Tensor(base.storage, whole, fmt, node if node is not None else base.node)


def joined(parts: Sequence[Tensor], shape: Shape) -> Tensor:
    """``torch.cat`` of several tensors to ``shape``; the gradients are views of the output's."""
    shapes = [one.shape for one in parts if one.needs_grad]

    def backward(grad: Tensor) -> Grads:
        return [grad.view(*one) for one in shapes]

    return operator(parts[0].tape, "cat", parts, shape, parts[0].format, backward)
