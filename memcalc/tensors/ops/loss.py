"""The standard loss over the logits."""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.autograd import keep, operator
from memcalc.tensors.ops.elementwise import Grads, for_autocast, fresh
from memcalc.tensors.tensor import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """``F.cross_entropy``: log_softmax keeps its result (as large as the logits, in their format), nll_loss makes
    a gradient of that size, log_softmax's backward another. Autocast leaves log_softmax alone, which is called with a
    format inside, and gives nll_loss an fp32 copy of its result [aten/src/ATen/native/LossNLL.cpp:
    cross_entropy_loss; autocast_mode.h: AT_FORALL_FP32]."""
    tape, shape, fmt = logits.tape, logits.shape, logits.format

    def log_softmax_backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "log_softmax (gradient)")]

    scores = operator(tape, "log_softmax", (logits,), shape, fmt, log_softmax_backward, keeps_output=True)
    del logits
    taken = for_autocast(scores, Format.FP32)
    wide = taken.format

    def nll_backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, wide, "nll_loss (gradient)")]

    loss = operator(tape, "nll_loss", (taken,), (1,), wide, nll_backward, (taken, labels))
    weight = fresh(tape, (1,), wide, "nll_loss total weight")
    if loss.node is not None:
        keep(tape, loss.node, (weight,))
    return loss
