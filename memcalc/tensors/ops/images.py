"""Operators over pictures (batch, channels, side, side): convolution, batch norm, pooling, and writing in place.

The workspaces that cuDNN takes for a convolution are not tensors and are not counted.
"""

from __future__ import annotations

from collections.abc import Callable

from memcalc.formats import Format, wider
from memcalc.tensors.autograd import graph_node, keep, operator
from memcalc.tensors.ops.elementwise import Grads, fresh, keep_weight, to
from memcalc.tensors.ops.matmul import cast_weight
from memcalc.tensors.ops.patches import seen
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Parameter, Tensor


def convolved(side: Size, kernel: int, stride: int, padding: int) -> Size:
    """The side of what a convolution or a pooling gives.

    >>> convolved(224, 7, 2, 3)
    112
    """
    return (side + 2 * padding - kernel) // stride + 1


def convolution(x: Tensor, weight: Parameter, bias: Parameter | None, stride: int, padding: int) -> Tensor:
    """``F.conv2d``, weight (out, in / groups, kernel, kernel), or ``F.conv1d`` with one side less: keeps x and the
    weight, whichever of them needs a gradient, and makes all gradients at once [derivatives.yaml:
    convolution_backward]. Autocast computes it in its own format."""
    tape = x.tape
    compute = tape.autocast.format if tape.autocast else x.format
    x = to(x, compute)
    w = cast_weight(x, weight, compute)
    b = cast_weight(x, bias, compute) if bias is not None else None
    x_shape = x.shape
    sources = [one for one in (x, w, b) if one is not None]
    shapes = [one.shape for one in sources if one.needs_grad]

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, compute, f"{name} (gradient)") for shape in shapes]

    name = f"conv{len(weight.shape) - 2}d"
    sides = [
        convolved(side, kernel, stride, padding) for side, kernel in zip(x_shape[2:], weight.shape[2:], strict=True)
    ]
    keeps = [x, w] if isinstance(w, Tensor) else [x]
    out = operator(tape, name, sources, (x_shape[0], weight.shape[0], *sides), compute, backward, keeps)
    if isinstance(w, Parameter):
        keep_weight(tape, out, w)
    return out


def batch_norm(x: Tensor, weight: Parameter, bias: Parameter) -> Tensor:
    """``F.batch_norm``: keeps its input and an fp32 mean and reciprocal deviation, for which it makes room outside
    training too; the running figures are overwritten in place. The result has the input's format, under autocast
    too."""
    tape, shape, fmt = x.tape, x.shape, x.format
    sources = (x, weight, bias)
    needs = [(one.shape, one.format) for one in sources if one.needs_grad]

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, s, f, "batch_norm (gradient)") for s, f in needs]

    out = operator(tape, "batch_norm", sources, shape, fmt, backward, (x,))
    statistics = [fresh(tape, weight.shape, Format.FP32, f"batch_norm {name}") for name in ("mean", "rstd")]
    if out.node is not None:
        keep(tape, out.node, statistics)
    return out


def relu_in_place(x: Tensor) -> Tensor:
    """``F.relu(x, inplace=True)``: keeps its result, which is x's own storage."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "relu (gradient)")]

    node = graph_node(tape, (x,), backward)
    if node is not None:
        keep(tape, node, (x,))
    return Tensor(x.storage, shape, fmt, node)


def add_in_place(a: Tensor, b: Tensor) -> Tensor:
    """``a += b``: nothing new, nothing kept; both get the same gradient."""
    needing = sum(one.needs_grad for one in (a, b))

    def backward(grad: Tensor) -> Grads:
        return [grad] * needing

    return Tensor(a.storage, a.shape, a.format, graph_node(a.tape, (a, b), backward))


def max_pool(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """``F.max_pool2d``: keeps its input and the place of each maximum, eight bytes each."""
    tape, shape, fmt = x.tape, x.shape, x.format
    side = convolved(shape[2], kernel, stride, padding)

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "max_pool2d (gradient)")]

    out = operator(tape, "max_pool2d", (x,), (*shape[:2], side, side), fmt, backward, (x,))
    places = fresh(tape, out.shape, Format.INT64, "max_pool2d places")
    if out.node is not None:
        keep(tape, out.node, (places,))
    return out


def average(x: Tensor, strided: bool = False) -> Tensor:
    """The mean of each channel, (batch, channels): ``F.adaptive_avg_pool2d(x, 1).flatten(1)``; keeps nothing.
    ``strided``: x lies channel by channel, and the result is given that order as well, whose gradient is spread
    again."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "mean (gradient)")]

    out = operator(tape, "mean", (x,), shape[:2], fmt, backward)
    if not strided:
        return out.view(*shape[:2])

    def spread(grad: Tensor) -> Grads:
        return [fresh(tape, shape[:2], fmt, "as_strided (gradient)")]

    return Tensor(out.storage, out.shape, fmt, graph_node(tape, (out,), spread), 0, True)


def normed_by_channel(x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """LayerNorm over the channels of (batch, channels, side, side): the map is seen with its channels last, and back
    again, so that its gradient is a view."""
    batch, channels, high, wide = x.shape
    return seen(norm(seen(x, batch, high, wide, channels)), *x.shape)


def scaled(x: Tensor, weight: Parameter, first: bool = False) -> Tensor:
    """``x * weight.reshape(1, -1, 1, 1)`` (or ``weight * x``: it is ``first``), a number for each channel: in the wider
    format, autocast or not; keeps x. The weight's gradient is made at full size, and summed by the engine."""
    tape, shape = x.tape, x.shape
    fmt = wider(x.format, weight.format)
    count = sum(one.needs_grad for one in (x, weight))

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "mul (gradient)") for _ in range(count)]

    sources = (weight, x) if first else (x, weight)
    out = operator(tape, "mul", sources, shape, fmt, backward, (x,) if weight.needs_grad else ())
    if out.node is not None and weight.needs_grad and out.node.edges:
        out.node.edges[0 if first else -1].spread = True
    if x.needs_grad:
        keep_weight(tape, out, weight)
    return out


def dropped_rows(x: Tensor) -> Tensor:
    """torchvision's ``stochastic_depth`` in mode "row": x times a random number for each picture, which is kept."""
    tape, shape, fmt = x.tape, x.shape, x.format
    noise = fresh(tape, (shape[0], 1, 1, 1), fmt, "stochastic depth")

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "mul (gradient)")]

    return operator(tape, "mul", (x,), shape, fmt, backward, (noise,))
