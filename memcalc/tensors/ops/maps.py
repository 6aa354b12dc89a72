"""Operators over feature maps (batch, channels, high, wide) of U-Nets, and the loss over them."""

from __future__ import annotations

from memcalc.formats import Format, wider
from memcalc.tensors.autograd import graph_node, keep, operator
from memcalc.tensors.ops.elementwise import Grads, for_autocast, fresh, to
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Parameter, Tensor


def group_norm(x: Tensor, weight: Parameter, bias: Parameter, groups: int) -> Tensor:
    """``F.group_norm`` (fp32 under autocast): keeps its input, and a mean and a reciprocal deviation for each group."""
    x = for_autocast(x, Format.FP32)
    tape, shape, fmt = x.tape, x.shape, x.format
    needs = [(one.shape, one.format) for one in (x, weight, bias) if one.needs_grad]

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, s, f, "group_norm (gradient)") for s, f in needs]

    out = operator(tape, "group_norm", (x, weight, bias), shape, fmt, backward, (x,))
    statistics = [fresh(tape, (shape[0], groups), fmt, f"group_norm {name}") for name in ("mean", "rstd")]
    if out.node is not None:
        keep(tape, out.node, statistics)
    return out


def cat_channels(a: Tensor, b: Tensor) -> Tensor:
    """``torch.cat((a, b), 1)``, under autocast in the wider format: the gradients are views of the result's."""
    fmt = wider(a.format, b.format)
    a, b = to(a, fmt), to(b, fmt)
    shapes = [one.shape for one in (a, b) if one.needs_grad]

    def backward(grad: Tensor) -> Grads:
        return [grad.view(*shape) for shape in shapes]

    shape = (a.shape[0], a.shape[1] + b.shape[1], *a.shape[2:])
    return operator(a.tape, "cat", (a, b), shape, fmt, backward)


def upsampled(x: Tensor, high: Size, wide: Size) -> Tensor:
    """``F.interpolate(x, size=(high, wide), mode="nearest")``: keeps nothing."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "upsample (gradient)")]

    return operator(tape, "upsample", (x,), (*shape[:2], high, wide), fmt, backward)


def first_channels(x: Tensor, count: int) -> Tensor:
    """``x[:, :count]``: a view; backward fills a zero tensor of x's whole size."""
    tape, shape, fmt = x.tape, x.shape, x.format
    if shape[1] == count:
        return x

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "slice (gradient)")]

    return Tensor(x.storage, (shape[0], count, *shape[2:]), fmt, graph_node(tape, (x,), backward), 0, True)


def mse_loss(x: Tensor, target: Tensor) -> Tensor:
    """``F.mse_loss(x.float(), target.float())``: keeps both."""
    tape, shape = x.tape, x.shape
    x, target = to(x, Format.FP32), to(target, Format.FP32)

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, Format.FP32, "mse_loss (gradient)")]

    return operator(tape, "mse_loss", (x,), (1,), Format.FP32, backward, (x, target))
