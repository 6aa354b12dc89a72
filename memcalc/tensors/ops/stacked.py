"""Tensors stacked along a new first dimension, and what is done with one or some of them (Gemma 3n's AltUp)."""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.formats import wider
from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tensor import Shape, Tensor


def stack(parts: Sequence[Tensor]) -> Tensor:
    """``torch.stack(parts)``: a new tensor (n, …); the gradients are views of the whole's."""
    first = parts[0]
    fmt = first.format
    for one in parts[1:]:
        fmt = wider(fmt, one.format)
    shapes = [one.shape for one in parts if one.needs_grad]

    def backward(grad: Tensor) -> Grads:
        return [grad.view(*shape) for shape in shapes]

    return operator(first.tape, "stack", parts, (len(parts), *first.shape), fmt, backward)


def picked(x: Tensor, shape: Shape, op: str = "select") -> Tensor:
    """``x[i]`` or ``x[i:]`` along any dimension, of ``shape``: a view; backward fills a zero tensor of x's size."""
    tape, whole, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, whole, fmt, f"{op} (gradient)")]

    return Tensor(x.storage, shape, fmt, graph_node(tape, (x,), backward), 0, True)


def repeated_first(x: Tensor, times: int) -> Tensor:
    """``x.repeat(times, 1, …)``: (…) to (times, …); backward sums."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "sum (gradient)")]

    return operator(tape, "repeat", (x,), (times, *shape), fmt, backward)


def mean_first(x: Tensor) -> Tensor:
    """``x.mean(0)``; backward divides the spread gradient: one tensor of full size."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "div (gradient)")]

    return operator(tape, "mean", (x,), shape[1:], fmt, backward)


def added_to_view(base: Tensor, x: Tensor, shape: Shape) -> Tensor:
    """``view += x`` where ``view`` (of ``shape``) looks at ``base``: nothing new. Backward writes into a tensor of the
    base's size and clones the part that was looked at [torch/csrc/autograd/functions/tensor.cpp, CopySlices]; x's
    gradient is that clone, summed where x was spread."""
    tape, whole, fmt, x_shape = base.tape, base.shape, base.format, x.shape
    needs_base, needs_x, spread = base.needs_grad, x.needs_grad, len(x.shape) < len(shape)

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [fresh(tape, whole, fmt, "new_empty (gradient)")] if needs_base else []
        part = fresh(tape, shape, fmt, "clone (gradient)")
        if needs_x:
            grads.append(fresh(tape, x_shape, fmt, "sum (gradient)") if spread else part)
        return grads

    return Tensor(base.storage, whole, fmt, graph_node(tape, (base, x), backward))


def set_to_itself(base: Tensor, shape: Shape) -> Tensor:
    """``base[1:] = view`` of what lies there already, as ``base[1:] += x`` ends in Python: nothing new. Backward makes
    zeros for what was overwritten, and the view's gradient fills a tensor of the base's size."""
    tape, whole, fmt = base.tape, base.shape, base.format
    view = picked(base, shape, "slice")

    def backward(grad: Tensor) -> Grads:
        result = fresh(tape, whole, fmt, "new_empty (gradient)")
        part = fresh(tape, shape, fmt, "clone (gradient)")
        zeros = fresh(tape, shape, fmt, "zeros (gradient)")
        del zeros
        return [result, part]

    return Tensor(base.storage, whole, fmt, graph_node(tape, (base, view), backward))
