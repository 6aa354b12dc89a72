"""Elementwise operators, casts and reductions over the last dimension."""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.formats import Format, wider
from memcalc.tensors.autograd import Source, keep, keep_weights, operator
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor

Grads = list[Tensor | None]


def fresh(tape: Tape, shape: Shape, fmt: Format, op: str) -> Tensor:
    """A new tensor outside the graph."""
    return Tensor(tape.storage(shape, fmt, op), shape, fmt)


def to(x: Tensor, fmt: Format) -> Tensor:
    """``x.to(fmt)``: the tensor itself if it is in that format, else a copy; keeps nothing."""
    if x.format is fmt:
        return x

    def backward(grad: Tensor) -> Grads:
        return [grad]  # the engine casts it back to x's format

    return operator(x.tape, "to", (x,), x.shape, fmt, backward)


def for_autocast(x: Tensor, fmt: Format) -> Tensor:
    """``x`` as an autocast operator receives it: cast where autocast is on, else as it is."""
    return to(x, fmt) if x.tape.autocast is not None else x


def add(a: Tensor, b: Source, in_place: bool = False) -> Tensor:
    """``a + b`` (or ``a.add_(b)``); keeps nothing, hands the same gradient to both.

    ``b`` may have dimensions of size 1 where ``a`` has more (its gradient is summed).
    """
    if in_place:
        return a
    shape, b_shape = a.shape, b.shape
    fmt = wider(a.format, b.format)
    tape = a.tape
    needs_a, needs_b = a.needs_grad, b.needs_grad
    summed = broadcast(shape, b_shape)
    b_fmt = fmt

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [grad] if needs_a else []
        if needs_b:
            grads.append(fresh(tape, b_shape, b_fmt, "sum (gradient)") if summed else grad)
        return grads

    return operator(tape, "add", (a, b), shape, fmt, backward)


def sub(a: Tensor, b: Tensor) -> Tensor:
    """``a - b``, b spread over a: keeps nothing; b's gradient is negated at full size, then summed."""
    tape, shape, b_shape = a.tape, a.shape, b.shape
    fmt = wider(a.format, b.format)
    needs_a, needs_b = a.needs_grad, b.needs_grad
    summed = broadcast(shape, b_shape)

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [grad] if needs_a else []
        if needs_b:
            negated = fresh(tape, shape, fmt, "neg (gradient)")
            grads.append(fresh(tape, b_shape, fmt, "sum (gradient)") if summed else negated)
        return grads

    return operator(tape, "sub", (a, b), shape, fmt, backward)


def broadcast(shape: Shape, other: Shape) -> bool:
    """Whether ``other`` is spread over ``shape`` (fewer dimensions, or 1 where ``shape`` has more)."""
    if len(shape) != len(other):
        return True
    return any(type(o) is int and o == 1 and not (type(s) is int and s == 1) for s, o in zip(shape, other, strict=True))


def mul(a: Tensor, b: Source) -> Tensor:
    """``a * b``: keeps ``b`` if a needs a gradient and ``a`` if b does; gradients are products of full size,
    summed afterwards where ``b`` was spread over ``a``."""
    tape = a.tape
    fmt = wider(a.format, b.format)
    shape, b_shape = a.shape, b.shape
    needs_a, needs_b = a.needs_grad, b.needs_grad
    keeps = []
    if needs_a and isinstance(b, Tensor):
        keeps.append(b)
    if needs_b:
        keeps.append(a)
    summed = broadcast(shape, b_shape)

    def backward(grad: Tensor) -> Grads:
        grads: Grads = []
        if needs_a:
            grads.append(fresh(tape, shape, fmt, "mul (gradient)"))
        if needs_b:
            grad_b = fresh(tape, shape, fmt, "mul (gradient)")
            grads.append(fresh(tape, b_shape, fmt, "sum (gradient)") if summed else grad_b)
        return grads

    out = operator(tape, "mul", (a, b), shape, fmt, backward, keeps)
    if needs_a and isinstance(b, Parameter):
        keep_weight(tape, out, b)
    return out


def keep_weight(tape: Tape, out: Tensor, weight: Parameter) -> None:
    """Keep a weight for ``out``'s backward: it lives anyway, but under checkpointing asking for it is asking for
    what was dropped, so the block is computed again there."""
    if out.node is None:
        return
    if tape.offload and tape.saving is None:
        keep_weights(tape, out.node, (weight,))
    else:
        keep(tape, out.node, ())


def scale(x: Tensor, op: str = "mul") -> Tensor:
    """``x`` times a number: keeps nothing."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "mul (gradient)")]

    return operator(tape, op, (x,), shape, fmt, backward)


def neg(x: Tensor) -> Tensor:
    """``-x``."""
    return scale(x, "neg")


def add_scalar(x: Tensor) -> Tensor:
    """``x`` plus a number: the gradient passes through."""

    def backward(grad: Tensor) -> Grads:
        return [grad]

    return operator(x.tape, "add", (x,), x.shape, x.format, backward)


def power(x: Tensor) -> Tensor:
    """``x.pow(n)`` for n > 1, in fp32 under autocast: keeps x; backward makes x^(n-1) and n times it on the way."""
    x = for_autocast(x, Format.FP32)
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        lower = fresh(tape, shape, fmt, "pow (gradient)")
        times = fresh(tape, shape, fmt, "mul (gradient)")
        out = fresh(tape, shape, fmt, "mul (gradient)")
        del lower, times
        return [out]

    return operator(tape, "pow", (x,), shape, fmt, backward, (x,))


def mean_last(x: Tensor) -> Tensor:
    """``x.mean(-1, keepdim=True)``; backward divides the spread gradient: one tensor of full size."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "div (gradient)")]

    return operator(tape, "mean", (x,), (*shape[:-1], 1), fmt, backward)


def rsqrt(x: Tensor) -> Tensor:
    """``x.rsqrt()`` (fp32 under autocast): keeps its result."""
    x = for_autocast(x, Format.FP32)
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        scaled = fresh(tape, shape, fmt, "mul (gradient)")
        cubed = fresh(tape, shape, fmt, "pow (gradient)")
        out = fresh(tape, shape, fmt, "mul (gradient)")
        del scaled, cubed
        return [out]

    return operator(tape, "rsqrt", (x,), shape, fmt, backward, keeps_output=True)


def sqrt(x: Tensor) -> Tensor:
    """``x.sqrt()``: keeps its result; backward divides by twice that."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        doubled = fresh(tape, shape, fmt, "mul (gradient)")
        out = fresh(tape, shape, fmt, "div (gradient)")
        del doubled
        return [out]

    return operator(tape, "sqrt", (x,), shape, fmt, backward, keeps_output=True)


def div(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``: keeps b, and a if b needs a gradient; that one is made at full size from the quotient by b, and summed
    where b was spread over a [torch/csrc/autograd/FunctionsManual.cpp, div_tensor_other_grad]."""
    tape, shape, b_shape = a.tape, a.shape, b.shape
    fmt = wider(a.format, b.format)
    needs_a, needs_b = a.needs_grad, b.needs_grad
    keeps = ([b] if needs_a or needs_b else []) + ([a] if needs_b else [])
    summed = broadcast(shape, b_shape)

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [fresh(tape, shape, fmt, "div (gradient)")] if needs_a else []
        if needs_b:
            held = [fresh(tape, shape, fmt, f"{name} (gradient)") for name in ("neg", "div", "mul")]
            grads.append(fresh(tape, b_shape, fmt, "sum (gradient)") if summed else held[2])
            del held
        return grads

    return operator(tape, "div", (a, b), shape, fmt, backward, keeps)


def std_last(x: Tensor) -> Tensor:
    """``torch.std(x, -1, keepdim=True)``: keeps x and its result; backward goes through x's distance from its mean."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        distance = fresh(tape, shape, fmt, "sub (gradient)")
        out = fresh(tape, shape, fmt, "mul (gradient)")
        del distance
        return [out]

    return operator(tape, "std", (x,), (*shape[:-1], 1), fmt, backward, (x,), keeps_output=True)


def _unary(x: Tensor, op: str, keeps_output: bool = False) -> Tensor:
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, f"{op} (gradient)")]

    return operator(tape, op, (x,), shape, fmt, backward, () if keeps_output else (x,), keeps_output)


def silu(x: Tensor) -> Tensor:
    """``F.silu``: keeps its input; CUDA's backward is one fused kernel."""
    return _unary(x, "silu")


def gelu(x: Tensor) -> Tensor:
    """``F.gelu`` (exact or tanh): keeps its input; one fused kernel each way."""
    return _unary(x, "gelu")


def relu(x: Tensor) -> Tensor:
    """``F.relu``: keeps its result."""
    return _unary(x, "relu", keeps_output=True)


def tanh(x: Tensor) -> Tensor:
    """``torch.tanh``: keeps its result."""
    return _unary(x, "tanh", keeps_output=True)


def sigmoid(x: Tensor) -> Tensor:
    """``torch.sigmoid``: keeps its result."""
    return _unary(x, "sigmoid", keeps_output=True)


def dropout(x: Tensor, p: float) -> Tensor:
    """``F.dropout`` in training: CUDA's fused kernel gives the output and a mask of one byte a value, and
    keeps the mask; nothing happens at p = 0."""
    if not p:
        return x
    tape, shape, fmt = x.tape, x.shape, x.format
    needs = x.needs_grad

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "dropout (gradient)")]

    out = operator(tape, "dropout", (x,), shape, fmt, backward)
    mask = fresh(tape, shape, Format.BOOL, "dropout mask")
    if needs and out.node is not None:
        from memcalc.tensors.autograd import keep

        keep(tape, out.node, (mask,))
    return out


def contiguous(x: Tensor, copies: bool, shape: Shape | None = None, fmt_op: str = "clone") -> Tensor:
    """A reshape or ``.contiguous()`` that copies (or only looks at x where the layout allows it)."""
    shape = shape or x.shape
    if not copies:
        return x.view(*shape)

    def backward(grad: Tensor) -> Grads:
        return [grad.view()]

    return operator(x.tape, fmt_op, (x,), shape, x.format, backward)


def slice_last(x: Tensor, width: int) -> Tensor:
    """``x[..., i:i+width]``: a view; backward fills a zero tensor of x's whole size."""
    tape, shape, fmt = x.tape, x.shape, x.format
    from memcalc.tensors.autograd import graph_node

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "slice (gradient)")]

    node = graph_node(tape, (x,), backward)
    return Tensor(x.storage, (*shape[:-1], width), fmt, node, 0, True)


def first_token(x: Tensor) -> Tensor:
    """``x[:, 0]`` of (batch, length, values): a view; backward fills a zero tensor of x's whole size."""
    tape, shape, fmt = x.tape, x.shape, x.format
    from memcalc.tensors.autograd import graph_node

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "select (gradient)")]

    node = graph_node(tape, (x,), backward)
    return Tensor(x.storage, (shape[0], *shape[2:]), fmt, node, 0, True)


def chunk_last(x: Tensor, parts: int) -> list[Tensor]:
    """``x.chunk(parts, -1)``: equal views."""
    return split_last(x, [x.shape[-1] // parts] * parts)


def split_last(x: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """``x.split(widths, -1)``: views; backward joins their gradients into one of x's size."""
    tape, shape, fmt = x.tape, x.shape, x.format
    from memcalc.tensors.autograd import graph_node

    def backward(*grads: Tensor | None) -> Grads:
        return [fresh(tape, shape, fmt, "cat (split gradient)")]

    node = graph_node(tape, (x,), backward, slots=len(widths))
    return [Tensor(x.storage, (*shape[:-1], width), fmt, node, slot, True) for slot, width in enumerate(widths)]


def cat_halves(a: Tensor, b: Tensor) -> Tensor:
    """``torch.cat((a, b), -1)``; the gradients are views of the output's."""
    shape = (*a.shape[:-1], a.shape[-1] + b.shape[-1])
    a_shape, b_shape = a.shape, b.shape
    needs_a, needs_b = a.needs_grad, b.needs_grad

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [grad.view(*a_shape)] if needs_a else []
        if needs_b:
            grads.append(grad.view(*b_shape))
        return grads

    return operator(a.tape, "cat", (a, b), shape, wider(a.format, b.format), backward)
