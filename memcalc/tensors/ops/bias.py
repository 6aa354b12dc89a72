"""Additive masks that are learned: position biases, and what turns them into the mask of an attention kernel."""

from __future__ import annotations

from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Shape, Tensor


def spread(x: Tensor, shape: Shape) -> Tensor:
    """``x.expand(shape)`` over the batch: a view, whose gradient is summed (of a single sequence it is none)."""
    tape, own, fmt = x.tape, x.shape, x.format
    whole = tape.one_sequence or own[0] is shape[0]

    def backward(grad: Tensor) -> Grads:
        return [grad.view(*own) if whole else fresh(tape, own, fmt, "sum (gradient)")]

    return Tensor(x.storage, shape, fmt, graph_node(tape, (x,), backward), 0, True)


def padded_rows(x: Tensor, wide: Size) -> Tensor:
    """Rows of ``x`` padded to ``wide`` values and cut again: the kernel reads the wider storage."""
    tape, own, fmt = x.tape, x.shape, x.format
    shape = (*own[:-1], wide)

    def pad_backward(grad: Tensor) -> Grads:
        return [fresh(tape, own, fmt, "pad (gradient)")]

    def cut_backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "slice (gradient)")]

    padded = operator(tape, "constant_pad_nd", (x,), shape, fmt, pad_backward)
    return Tensor(padded.storage, own, fmt, graph_node(tape, (padded,), cut_backward), 0, True)


def where(mask: Tensor, x: Tensor, shape: Shape) -> Tensor:
    """``torch.where(mask, x, number)``: of ``shape``, both spread over it; keeps the mask, and backward fills what it
    leaves out."""
    tape, own, fmt = x.tape, x.shape, x.format
    number = fresh(tape, (1,), fmt, "scalar")
    whole = own[0] is shape[0] or tape.one_sequence

    def backward(grad: Tensor) -> Grads:
        zero = fresh(tape, (1,), fmt, "scalar")
        chosen = fresh(tape, shape, fmt, "where (gradient)")
        del zero
        return [chosen if whole else fresh(tape, own, fmt, "sum (gradient)")]

    out = operator(tape, "where", (x,), shape, fmt, backward, (mask,))
    del number
    return out


def add_into(x: Tensor, bias: Tensor) -> Tensor:
    """``x.add_(bias)``: x's own storage; the bias's gradient is summed over the batch."""
    tape, own = x.tape, bias.shape
    needs = [one.needs_grad for one in (x, bias)]
    whole = tape.one_sequence or own == x.shape

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [grad] if needs[0] else []
        if needs[1]:
            grads.append(grad if whole else fresh(tape, own, grad.format, "sum (gradient)"))
        return grads

    node = graph_node(tape, (x, bias), backward)
    return Tensor(x.storage, x.shape, x.format, node) if node is not None else x
