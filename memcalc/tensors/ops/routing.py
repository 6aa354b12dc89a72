"""What a mixture of experts is made of: choosing experts, gathering rows, one product a group, weighing and summing.

Shapes: T tokens, k experts a token, S = T·k rows (one for each token and chosen expert), E experts.
"""

from __future__ import annotations

from memcalc.formats import Format, wider
from memcalc.tensors.autograd import graph_node, keep, operator
from memcalc.tensors.ops.elementwise import Grads, fresh, to
from memcalc.tensors.ops.matmul import cast_weight
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Parameter, Tensor


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``torch.topk(scores, k)``: values and int64 indices (T, k). Keeps the indices; backward scatters into zeros of
    the scores' shape (T, E)."""
    tape, shape, fmt = scores.tape, scores.shape, scores.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "topk (gradient)")]

    chosen = (*shape[:-1], k)
    values = operator(tape, "topk", (scores,), chosen, fmt, backward)
    indices = fresh(tape, chosen, Format.INT64, "topk")
    if values.node is not None:
        keep(tape, values.node, (indices,))
    return values, indices


def gather_columns(scores: Tensor, index: Tensor) -> Tensor:
    """``scores.gather(1, index)``: (T, E) to (T, k); keeps the index, backward scatters into zeros (T, E)."""
    tape, shape, fmt = scores.tape, scores.shape, scores.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "gather (gradient)")]

    return operator(tape, "gather", (scores,), index.shape, fmt, backward, (index,))


def masked_fill(x: Tensor, mask: Tensor) -> Tensor:
    """``x.masked_fill(mask, number)``: keeps the mask; the gradient is a new tensor."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "masked_fill (gradient)")]

    return operator(tape, "masked_fill", (x,), shape, fmt, backward, (mask,))


def normalised_in_place(values: Tensor) -> Tensor:
    """``values /= values.sum(-1, keepdim=True)``: torch keeps a clone of what it overwrites, and the sum."""
    tape, shape, fmt = values.tape, values.shape, values.format

    def sum_backward(grad: Tensor) -> Grads:
        return [grad.view(*shape)]

    total = operator(tape, "sum", (values,), (*shape[:-1], 1), fmt, sum_backward)
    total_shape = total.shape

    def backward(grad: Tensor) -> Grads:
        first = fresh(tape, shape, fmt, "div (gradient)")
        ratios = [fresh(tape, shape, fmt, "div (gradient)") for _ in range(2)]
        second = fresh(tape, total_shape, fmt, "sum (gradient)")
        del ratios
        return [first, second]

    node = graph_node(tape, (values, total), backward)
    if node is not None:
        keep(tape, node, (total, fresh(tape, shape, fmt, "clone")))
    return Tensor(values.storage, shape, fmt, node)


def gather_rows(x: Tensor | Parameter, index: Tensor, rows: Size) -> Tensor:
    """``x[index]``, ``rows`` rows of x: keeps the index; backward adds into zeros of x's shape, in place."""
    tape, shape, fmt = index.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "index (gradient)")]

    return operator(tape, "index", (x,), (rows, *shape[1:]), fmt, backward, (index,))


def grouped_product(
    x: Tensor, weight: Parameter | Tensor, outputs: int, offsets: Tensor, biases: Tensor | None = None
) -> Tensor:
    """``F.grouped_mm``: rows of x (S, in), sorted by expert, times each expert's own matrix of ``weight``
    (E, …): (S, out). Autocast leaves it alone: x is cast to the weight's format. Keeps x if the weights are trained;
    their gradient is that of all experts, whether they had a token or not. ``biases`` (S, out) are added in place."""
    tape = x.tape
    x = to(x, weight.format)
    fmt, x_shape, w_shape = x.format, x.shape, weight.shape
    needs_x, needs_w = x.needs_grad, weight.needs_grad

    def backward(grad: Tensor) -> Grads:
        grad_w = Tensor(tape.storage(w_shape, fmt, "grouped_mm (weight gradient)"), w_shape, fmt) if needs_w else None
        grads: Grads = [fresh(tape, x_shape, fmt, "grouped_mm (input gradient)")] if needs_x else []
        if grad_w is not None:
            grad_w.is_view = True  # it comes back through the transpose of the weight
            grads.append(grad_w)
        return grads

    keeps = [offsets, x] if needs_w else [offsets]
    frozen: list[Parameter] = []
    if needs_x and isinstance(weight, Tensor):
        keeps.append(weight)
    elif needs_x and isinstance(weight, Parameter):
        frozen = [weight]
    out = operator(tape, "grouped_mm", (x, weight), (x_shape[0], outputs), fmt, backward, keeps, weights=frozen)
    if biases is None:
        return out
    needs = [one.needs_grad for one in (out, biases)]

    def add_backward(grad: Tensor) -> Grads:
        return [grad] * sum(needs)

    return Tensor(out.storage, out.shape, fmt, graph_node(tape, (out, biases), add_backward))


def weigh_rows(x: Tensor, weights: Tensor) -> Tensor:
    """``x * weights[:, None]``: rows (S, h) times one number a row, in the wider format. Keeps both; backward makes
    both gradients at full size, and the engine casts the first and sums the second."""
    tape, shape = x.tape, x.shape
    fmt = wider(x.format, weights.format)
    needed = x.needs_grad + weights.needs_grad

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "mul (gradient)") for _ in range(needed)]

    keeps = ([weights] if x.needs_grad else []) + ([x] if weights.needs_grad else [])
    out = operator(tape, "mul", (x, weights), shape, fmt, backward, keeps)
    if weights.needs_grad and out.node is not None and out.node.edges:
        out.node.edges[-1].spread = True
    return out


def sum_slots(x: Tensor, tokens: Size) -> Tensor:
    """``x.view(T, k, h).sum(1)``: rows (S, h) to tokens (T, h); backward spreads the gradient into a copy of x's
    size."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "clone (spread gradient)")]

    return operator(tape, "sum", (x,), (tokens, shape[1]), fmt, backward)


def scattered_columns(values: Tensor, index: Tensor, experts: int) -> Tensor:
    """``full_like(scores, -inf).scatter_(1, index, values)``: values (T, k) at their places among E columns. Keeps the
    index; backward gathers."""
    tape, fmt = values.tape, values.format
    tokens, k = values.shape

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, (tokens, k), fmt, "gather (gradient)")]

    return operator(tape, "full_like", (values,), (tokens, experts), fmt, backward, (index,))


def repeated_rows(x: Tensor, times: int) -> Tensor:
    """``x.repeat(times, 1)``: tokens (T, h) to rows (times·T, h); backward sums."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "sum (gradient)")]

    return operator(tape, "repeat", (x,), (times * shape[0], shape[1]), fmt, backward)


def expert_product(x: Tensor, weight: Parameter) -> Tensor:
    """``torch.bmm`` of each expert's rows x (E, T, in) with its matrix of ``weight`` (E, in, out): (E, T, out). Keeps
    x if the weights are trained."""
    tape = x.tape
    compute = tape.autocast.format if tape.autocast else x.format
    x = to(x, compute)
    w = cast_weight(x, weight, compute)
    x_shape, w_shape = x.shape, weight.shape
    needs_x, needs_w = x.needs_grad, w.needs_grad

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [fresh(tape, x_shape, compute, "bmm (input gradient)")] if needs_x else []
        return [*grads, fresh(tape, w_shape, compute, "bmm (weight gradient)")] if needs_w else grads

    keeps = [x] if needs_w else []
    frozen: list[Parameter] = []
    if needs_x and isinstance(w, Tensor):
        keeps.append(w)
    elif needs_x:
        frozen = [weight]
    return operator(tape, "bmm", (x, w), (*x_shape[:-1], w_shape[-1]), compute, backward, keeps, weights=frozen)


def summed_copies(x: Tensor, tokens: Size) -> Tensor:
    """``x.reshape(E, T, h).sum(0)``: rows (E·T, h) to tokens (T, h), in fp32 under autocast; backward spreads the
    gradient into a copy of x's size."""
    tape, shape, fmt = x.tape, x.shape, x.format
    summed = Format.FP32 if tape.autocast is not None else fmt

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "clone (spread gradient)")]

    return operator(tape, "sum", (x,), (tokens, shape[1]), summed, backward)


def added_in_place(x: Tensor, other: Tensor) -> Tensor:
    """``x.add_(other)``: both are given the gradient."""
    needs = x.needs_grad + other.needs_grad

    def backward(grad: Tensor) -> Grads:
        return [grad] * needs

    return Tensor(x.storage, x.shape, x.format, graph_node(x.tape, (x, other), backward))
