"""Rotary positions as complex numbers in fp32 (DeepSeek-V2, Llama 4)."""

from __future__ import annotations

from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


def polar_table(tape: Tape, run: Run, width: int) -> Tensor:
    """The rotary table as complex numbers, (1, length, width / 2) of 8 bytes: ``polar(ones, freqs) * scaling``."""
    half, whole = (1, run.length, width // 2), (1, run.length, width)
    freqs = fresh(tape, half, Format.FP32, "rotary frequencies")
    ones = fresh(tape, half, Format.FP32, "ones_like")
    polar = fresh(tape, whole, Format.FP32, "polar")
    del ones
    table = fresh(tape, whole, Format.FP32, "rotary table")
    del freqs, polar
    return table


def turned(x: Tensor, table: Tensor, by_head: bool) -> Tensor:
    """x, seen as complex numbers, times the table. Keeps the table; backward conjugates it, and copies a gradient that
    does not lie in pairs (``by_head``)."""
    tape, shape, fmt, table_shape = x.tape, x.shape, x.format, table.shape

    def backward(grad: Tensor) -> Grads:
        conjugate = fresh(tape, table_shape, fmt, "clone (conjugate)")
        out = fresh(tape, shape, fmt, "mul (gradient)")
        del conjugate
        return [out]

    out = operator(tape, "mul (complex)", (x,), shape, fmt, backward, (table,))
    if not by_head:
        return out

    def view_backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "clone (gradient)")]

    return Tensor(out.storage, shape, fmt, graph_node(tape, (out,), view_backward), 0, True)
