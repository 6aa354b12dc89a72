"""Fused kernels that keep less, as Liger has them [liger_kernel 0.8.5 ops/rms_norm.py, swiglu.py, rope.py,
fused_linear_cross_entropy.py]. Traced: Liger's own Python; its Triton kernels take nothing from torch's allocator."""

from __future__ import annotations

import numpy as np

from memcalc.formats import Format
from memcalc.tensors.autograd import Node, graph_node, keep, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Parameter, Tensor

MULTIPROCESSORS = 108
"""Rows of the partial weight gradient of a norm: one a multiprocessor of the card (108: A100; 132: H100)."""


def fused_rms_norm(x: Tensor, weight: Parameter, in_place: bool = True) -> Tensor:
    """LigerRMSNorm: keeps its input and one fp32 number a row. Backward writes over the incoming gradient (if
    ``in_place``: not where a residual needs it too, as in Gemma 2) and, for a trained weight, makes partial weight
    gradients, one row a multiprocessor."""
    tape, shape, fmt, w_shape, w_fmt = x.tape, x.shape, x.format, weight.shape, weight.format
    needs_x, needs_w = x.needs_grad, weight.needs_grad

    def backward(grad: Tensor) -> Grads:
        partial = None
        if needs_w:
            partial = fresh(tape, (MULTIPROCESSORS, *w_shape), Format.FP32, "partial weight gradient")
        if not in_place:
            grad = fresh(tape, shape, fmt, "zeros (gradient)")
        grads: Grads = [grad] if needs_x else []
        if needs_w:
            grads.append(fresh(tape, w_shape, w_fmt, "sum (weight gradient)"))
        del partial
        return grads

    out = operator(tape, "rms_norm (fused)", (x, weight), shape, x.format, backward, (x,), weights=[weight])
    rows = fresh(tape, shape[:-1], Format.FP32, "rstd")
    if out.node is not None:
        keep(tape, out.node, (rows,))
    return out


def fused_swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """LigerSiLUMul, silu(gate) * up: keeps both and writes their gradients over them."""
    tape, shape, fmt = gate.tape, gate.shape, gate.format
    made: list[Node] = []

    def backward(grad: Tensor) -> Grads:
        first, second, *_ = made[0].kept
        return [Tensor(first, shape, fmt), Tensor(second, shape, fmt)]

    node = graph_node(tape, (gate, up), backward)
    out = Tensor(tape.storage(shape, fmt, "swiglu (fused)"), shape, fmt, node)
    if node is not None:
        made.append(node)
        keep(tape, node, (gate, up))
    return out


def fused_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """LigerRope: rotates in place, both ways; keeps cosines and sines only."""

    def backward(grad: Tensor) -> Grads:
        return [grad]

    node = graph_node(x.tape, (x,), backward)
    if node is not None:
        keep(x.tape, node, (cos, sin))
    return Tensor(x.storage, x.shape, x.format, node)


def chunk_rows(rows: Size, vocab: int, hidden: int) -> Size:
    """Rows of logits that exist at a time: about as many values as the hidden states have.

    ``next_power_of_2(ceil(rows / ceil(vocab / hidden)))``, at most ``rows``
    [fused_linear_cross_entropy_forward; chunk_mem_const = 1].

    >>> chunk_rows(8192, 128_256, 4096)   # 32 chunks of 256 rows
    256
    """
    parts = -(-vocab // hidden)
    wanted = -(-rows // parts)
    if isinstance(wanted, np.ndarray):
        power = 2 ** np.ceil(np.log2(wanted)).astype(np.int64)
        return np.minimum(power, rows)
    return min(1 << (int(wanted) - 1).bit_length(), rows)


def _chunk(hidden: Tensor, weight: Parameter, rows: Size) -> None:
    """Logits of one chunk, turned into their gradient, and that multiplied into both gradients.

    Autocast casts the weight for each product: for the logits a view of it, whose copy it does not cache, then the
    weight itself, whose copy stays if it is trained. Two 16-bit matrices are added into the weight's gradient as they
    are multiplied (capability 8.0 and later); fp32 ones are multiplied first, into a matrix of the weight's size."""
    tape = hidden.tape
    vocab, h = weight.shape
    compute = tape.autocast.format if tape.autocast else hidden.format
    height = chunk_rows(rows, vocab, h)
    narrow = hidden.format is not compute
    chunk = fresh(tape, (height, h), compute, "to (hidden states of one chunk)") if narrow else None
    copy = fresh(tape, weight.shape, compute, "to (weight)") if weight.format is not compute else None
    logits = fresh(tape, (height, vocab), compute, "logits of one chunk")
    del copy, chunk
    if tape.autocast is not None and weight.format is not compute and weight not in tape.autocast.cache:
        copy = fresh(tape, weight.shape, compute, "to (weight)")
        if weight.needs_grad:
            copy.storage.record.component = "activations"
            tape.autocast.cache[weight] = copy
        product = fresh(tape, (height, h), compute, "input gradient of one chunk")
        del copy, product
    if weight.needs_grad and narrow:
        chunk = fresh(tape, (height, h), compute, "to (hidden states of one chunk)")
        del chunk
    if weight.needs_grad and compute is Format.FP32:
        product = fresh(tape, weight.shape, compute, "weight gradient of one chunk")
        del product
    del logits


def fused_linear_cross_entropy(hidden: Tensor, weight: Parameter) -> Tensor:
    """Head and loss in one, chunk by chunk of ``hidden`` (batch, length, h): one chunk's logits exist at a time, are
    turned into their gradient in place, and multiplied into the gradients of hidden states and weight, which the
    forward pass makes and keeps."""
    tape, shape, fmt = hidden.tape, hidden.shape, hidden.format
    rows = shape[0] * shape[1]
    needs_w = weight.needs_grad
    grads = [fresh(tape, shape, fmt, "input gradient (fused loss)")]
    if needs_w:
        grads.append(fresh(tape, weight.shape, weight.format, "weight gradient (fused loss)"))
    losses = fresh(tape, (rows,), Format.FP32, "loss by token")
    counted = fresh(tape, (rows,), Format.BOOL, "labels that count")
    for _ in range(2 if weight.shape[0] > weight.shape[1] else 1):  # the second chunk stands for all that follow
        _chunk(hidden, weight, rows)
    del counted

    def backward(grad: Tensor) -> Grads:
        found, grads[:] = list(grads), []
        return [*found]

    node = graph_node(tape, (hidden, weight), backward)
    for one in grads:
        one.storage.record.component = "activations"
    loss = Tensor(tape.storage((1,), Format.FP32, "loss (fused)"), (1,), Format.FP32, node)
    del losses
    return loss


__all__ = ["chunk_rows", "fused_linear_cross_entropy", "fused_rms_norm", "fused_rotary", "fused_swiglu"]
