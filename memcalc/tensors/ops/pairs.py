"""Operators of two tensors that recurrent layers have beside products and sums.

Each mirrors torch 2.13's formula for backward [tools/autograd/derivatives.yaml].
"""

from __future__ import annotations

from memcalc.formats import Format, wider
from memcalc.tensors.autograd import Source, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tensor import Tensor


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """``torch.maximum`` of two tensors of one shape: keeps both; each gradient is halved where they are equal and
    filled with zeros where the other is larger, under two masks."""
    tape, shape, fmt = a.tape, a.shape, wider(a.format, b.format)
    needed = a.needs_grad + b.needs_grad

    def backward(grad: Tensor) -> Grads:
        grads: Grads = []
        for _ in range(needed):
            half = fresh(tape, shape, fmt, "div (gradient)")
            equal = fresh(tape, shape, Format.BOOL, "eq (gradient)")
            grads.append(fresh(tape, shape, fmt, "where (gradient)"))
            smaller = fresh(tape, shape, Format.BOOL, "lt (gradient)")
            del half, equal, smaller
        return grads

    return operator(tape, "maximum", (a, b), shape, fmt, backward, (a, b))


def one_minus(x: Source, tape_of: Tensor) -> Tensor:
    """``1 - x`` of an activation or a parameter: keeps nothing. ``tape_of``: a tensor on the tape."""
    tape, shape, fmt = tape_of.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "neg (gradient)")]

    return operator(tape, "rsub", (x,), shape, fmt, backward)
