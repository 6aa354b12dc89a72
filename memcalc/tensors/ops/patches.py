"""Operators over the tokens of a picture (batch, tokens, values)."""

from __future__ import annotations

from memcalc.formats import wider
from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, add, contiguous, fresh, to
from memcalc.tensors.ops.matmul import cast_weight, linear
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Parameter, Shape, Tensor


def after(x: Tensor, *first: Parameter) -> Tensor:
    """``torch.cat((one.expand(batch, -1, -1), …, x), 1)``: the same learned tokens (1, n, values) before every row's
    own. The gradients are views of the result's; those of the learned tokens are summed over the batch. Autocast casts
    to the widest format [autocast_mode.h: AT_FORALL_PROMOTE]."""
    tape = x.tape
    fmt = x.format
    for one in first:
        fmt = wider(fmt, one.format)
    x = to(x, fmt)
    shapes = [one.shape for one in first if one.needs_grad]
    x_shape, needs_x = x.shape, x.needs_grad

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [fresh(tape, shape, fmt, "sum (gradient)") for shape in shapes]
        return [*grads, grad.view(*x_shape)] if needs_x else grads

    count = x.shape[1] + sum(one.shape[1] for one in first)
    return operator(tape, "cat", (*first, x), (x.shape[0], count, x.shape[2]), fmt, backward)


def mean_after(x: Tensor, first: int) -> Tensor:
    """``x[:, first:].mean(1)``: backward divides the spread gradient, and fills the rest of x's size with zeros."""
    tape, shape, fmt = x.tape, x.shape, x.format
    shorter = (shape[0], shape[1] - first, shape[2])

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "slice (gradient)")]

    def spread(grad: Tensor) -> Grads:
        return [fresh(tape, shorter, fmt, "div (gradient)")]

    rest = Tensor(x.storage, shorter, fmt, graph_node(tape, (x,), backward), 0, True)
    return operator(tape, "mean", (rest,), (shape[0], shape[2]), fmt, spread)


def linear_turned(x: Tensor, weight: Parameter, bias: Parameter) -> Tensor:
    """``F.linear(x.transpose(0, 1), weight, bias)``: torch copies what is not contiguous, and adds the bias by itself
    [aten/src/ATen/native/Linear.cpp, linear]."""
    fmt = x.tape.autocast.format if x.tape.autocast else x.format
    x = contiguous(to(x, fmt), True)
    x = linear(x, weight)
    return add(x, cast_weight(x, bias, fmt))


def seen(x: Tensor, *shape: Size) -> Tensor:
    """x in another order of its dimensions, now of ``shape``: a view, whose gradient is one too."""
    before = x.shape

    def backward(grad: Tensor) -> Grads:
        return [grad.view(*before)]

    return Tensor(x.storage, shape, x.format, graph_node(x.tape, (x,), backward), 0, True)


def turned(x: Tensor, *shape: Size) -> Tensor:
    """x in another order of its dimensions (of ``shape``, if it changes): a view, whose gradient has to be copied back
    into x's order."""
    tape, before, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, before, fmt, "clone (gradient)")]

    return Tensor(x.storage, shape or before, fmt, graph_node(tape, (x,), backward), 0, True)


def copied(x: Tensor) -> Tensor:
    """``turned(x).contiguous()``: copied, and so is its gradient."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "clone (gradient)")]

    return operator(tape, "clone", (x,), shape, fmt, backward)


def laid(x: Tensor, shape: Shape) -> Tensor:
    """x copied into another order of its dimensions, of ``shape``; its gradient is a view."""
    before = x.shape

    def backward(grad: Tensor) -> Grads:
        return [grad.view(*before)]

    return operator(x.tape, "clone", (x,), shape, x.format, backward)


def unbound(x: Tensor, parts: int, shape: Shape) -> list[Tensor]:
    """``x.reshape(batch, tokens, parts, heads, d).permute(2, 0, 3, 1, 4).unbind(0)``: views of ``shape``. Backward
    stacks their gradients, and copies them into x's order."""
    tape, whole, fmt = x.tape, x.shape, x.format
    x = turned(x)

    def stack(*grads: Tensor | None) -> Grads:
        return [fresh(tape, whole, fmt, "stack (gradient)")]

    node = graph_node(tape, (x,), stack, slots=parts)
    return [Tensor(x.storage, shape, fmt, node, slot, True) for slot in range(parts)]


def selected(x: Tensor, parts: int, shape: Shape) -> list[Tensor]:
    """``x[0]``, ``x[1]``, …: views of ``shape``; each one's gradient fills a zero tensor of x's whole size."""
    tape, whole, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, whole, fmt, "select (gradient)")]

    return [Tensor(x.storage, shape, fmt, graph_node(tape, (x,), backward), 0, True) for _ in range(parts)]
