"""Sequence parallelism's two collectives on hidden states (batch, length, hidden): one card has a part of the length.

As torch's SequenceParallel and torchtitan's plan have it: the gathered tensor is made once, before the linear layers
that read it, and they keep it [Korthikanti et al. 2022, arXiv 2205.05198, section 4.2; torch 2.13
torch/distributed/tensor/parallel/style.py]. Megatron-LM keeps the part and gathers again in backward.
"""

from __future__ import annotations

from memcalc.tensors.autograd import operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Tensor


def gathered(x: Tensor, length: Size, cards: int) -> Tensor:
    """(batch, part, hidden) → (batch, length, hidden); backward sums the gradient and keeps this card's part."""
    if cards == 1:
        return x
    tape, part, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, part, fmt, "reduce-scatter (sequence)")]

    return operator(tape, "all-gather (sequence)", (x,), (x.shape[0], length, x.shape[2]), fmt, backward)


def scattered(x: Tensor, cards: int) -> Tensor:
    """(batch, length, hidden), one term of a sum over the cards → this card's part of the sum, ceil(length / cards)
    long; backward gathers."""
    if cards == 1:
        return x
    tape, whole, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, whole, fmt, "all-gather (sequence)")]

    part = (whole[0], (whole[1] + cards - 1) // cards, whole[2])
    return operator(tape, "reduce-scatter (sequence)", (x,), part, fmt, backward)
