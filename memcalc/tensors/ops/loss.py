"""The standard loss over the logits."""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.autograd import keep, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tensor import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """``F.cross_entropy`` of fp32 logits: log_softmax keeps its result (as large as the logits), nll_loss makes
    a gradient of that size, log_softmax's backward another."""
    tape, shape, fmt = logits.tape, logits.shape, logits.format

    def log_softmax_backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "log_softmax (gradient)")]

    scores = operator(tape, "log_softmax", (logits,), shape, fmt, log_softmax_backward, keeps_output=True)
    del logits

    def nll_backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "nll_loss (gradient)")]

    loss = operator(tape, "nll_loss", (scores,), (1,), Format.FP32, nll_backward, (scores, labels))
    weight = fresh(tape, (1,), Format.FP32, "nll_loss total weight")
    if loss.node is not None:
        keep(tape, loss.node, (weight,))
    return loss
