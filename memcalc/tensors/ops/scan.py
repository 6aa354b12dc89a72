"""Operators of recurrent layers: causal convolutions, sums along a sequence, triangular systems.

Each mirrors torch 2.13's formula for backward [tools/autograd/derivatives.yaml,
torch/csrc/autograd/FunctionsManual.cpp].
"""

from __future__ import annotations

from memcalc.formats import Format, wider
from memcalc.tensors.autograd import Source, operator
from memcalc.tensors.ops.elementwise import Grads, broadcast, fresh, slice_last, to
from memcalc.tensors.ops.matmul import cast_weight
from memcalc.tensors.tensor import Parameter, Shape, Tensor


def unary(x: Source, op: str, tape_of: Tensor, keeps_output: bool = False, keeps: bool = True) -> Tensor:
    """An elementwise operator of an activation or a parameter, with one tensor of its size in backward.
    ``tape_of``: a tensor on the tape."""
    tape, shape, fmt = tape_of.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, f"{op} (gradient)")]

    kept = (x,) if keeps and not keeps_output and isinstance(x, Tensor) else ()
    return operator(tape, op, (x,), shape, fmt, backward, kept, keeps_output)


def exp(x: Tensor) -> Tensor:
    """``x.exp()``: keeps its result."""
    return unary(x, "exp", x, keeps_output=True)


def exp_of(weight: Parameter, tape_of: Tensor) -> Tensor:
    """``weight.float().exp()``."""
    return unary(widened(weight, tape_of), "exp", tape_of, keeps_output=True)


def exp_plain(weight: Parameter, tape_of: Tensor) -> Tensor:
    """``weight.exp()``, in fp32 under autocast."""
    return unary(weight, "exp", tape_of, keeps_output=True)


def softplus(x: Tensor) -> Tensor:
    """``F.softplus``: keeps its input."""
    return unary(x, "softplus", x)


def clamp(x: Tensor) -> Tensor:
    """``torch.clamp`` between two numbers: keeps its input; backward asks twice whether it was within them."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        held = [fresh(tape, shape, Format.BOOL, f"{name} (gradient)") for name in ("ge", "le", "logical_and")]
        out = fresh(tape, shape, fmt, "where (gradient)")
        del held
        return [out]

    return operator(tape, "clamp", (x,), shape, fmt, backward, (x,))


def widened(weight: Parameter, tape_of: Tensor) -> Source:
    """``weight.float()``: itself if it is in fp32."""
    if weight.format is Format.FP32:
        return weight

    def backward(grad: Tensor) -> Grads:
        return [grad]

    return operator(tape_of.tape, "to", (weight,), weight.shape, Format.FP32, backward)


def sum_last(x: Tensor) -> Tensor:
    """``x.sum(-1, keepdim=True)``: backward only looks at the gradient many times."""

    def backward(grad: Tensor) -> Grads:
        return [grad.view()]

    return operator(x.tape, "sum", (x,), (*x.shape[:-1], 1), x.format, backward)


def cumsum(x: Tensor) -> Tensor:
    """``x.cumsum(-1)``: backward turns the gradient round, sums, and turns that round."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        turned = fresh(tape, shape, fmt, "flip (gradient)")
        summed = fresh(tape, shape, fmt, "cumsum (gradient)")
        del turned
        out = fresh(tape, shape, fmt, "flip (gradient)")
        del summed
        return [out]

    return operator(tape, "cumsum", (x,), shape, fmt, backward)


def masked_fill(x: Tensor, mask: Tensor) -> Tensor:
    """``x.masked_fill(mask, number)``: keeps the mask."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "masked_fill (gradient)")]

    return operator(tape, "masked_fill", (x,), shape, fmt, backward, (mask,))


def difference(a: Tensor, b: Tensor, shape: Shape) -> Tensor:
    """``a - b``, each spread to ``shape``: the negated gradient of full size, then the sums that the engine makes."""
    tape, fmt = a.tape, wider(a.format, b.format)
    needs_a, needs_b = a.needs_grad, b.needs_grad

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [grad] if needs_a else []
        if needs_b:
            grads.append(fresh(tape, shape, fmt, "neg (gradient)"))
        return grads

    out = operator(tape, "sub", (a, b), shape, fmt, backward)
    if out.node is not None and out.node.edges:
        for edge in out.node.edges:
            edge.spread = broadcast(shape, edge.shape)
    return out


def solve_triangular(a: Tensor, b: Tensor) -> Tensor:
    """``torch.linalg.solve_triangular(a, b)``: keeps a and its result; a's gradient is a product, negated and cut to
    its triangle. What cuBLAS needs beside that, no trace sees."""
    tape, fmt = a.tape, a.format
    a_shape, b_shape = a.shape, b.shape
    needs_a, needs_b = a.needs_grad, b.needs_grad

    def backward(grad: Tensor) -> Grads:
        solved = fresh(tape, b_shape, fmt, "linalg_solve_triangular (gradient)")
        grads: Grads = []
        if needs_a:
            product = fresh(tape, a_shape, fmt, "bmm (gradient)")
            negated = fresh(tape, a_shape, fmt, "neg (gradient)")
            del product
            grads.append(fresh(tape, a_shape, fmt, "tril (gradient)"))
            del negated
        if needs_b:
            grads.append(solved)
        return grads

    return operator(tape, "linalg_solve_triangular", (a, b), b_shape, fmt, backward, (a,), keeps_output=True)


def causal_convolution(x: Tensor, weight: Parameter, bias: Parameter | None) -> Tensor:
    """``F.conv1d`` over each channel of x (batch, channels, length) by itself, with zeros before the first token:
    (batch, channels, length), a view of the longer result. Keeps input and weight. CUDA's kernel may copy its turned
    input first, which no trace sees."""
    tape = x.tape
    fmt = tape.autocast.format if tape.autocast else weight.format
    x = to(to(x, weight.format), fmt)
    w = cast_weight(x, weight, fmt, cached=False)
    b = cast_weight(x, bias, fmt) if bias is not None else None
    own, w_shape, b_shape = x.shape, weight.shape, bias.shape if bias is not None else ()
    needs = [one is not None and one.needs_grad for one in (x, w, b)]

    def backward(grad: Tensor) -> Grads:
        shapes = (own, w_shape, b_shape)
        return [
            fresh(tape, shape, fmt, "convolution (gradient)")
            for shape, needed in zip(shapes, needs, strict=True)
            if needed
        ]

    sources: list[Source] = [one for one in (x, w, b) if one is not None]
    kept = [x] + ([w] if isinstance(w, Tensor) else [])
    frozen = [weight] if isinstance(w, Parameter) else []
    shape = (*own[:-1], own[-1] + w_shape[-1] - 1)
    whole = operator(tape, "convolution", sources, shape, fmt, backward, kept, weights=frozen)
    return slice_last(whole, own[-1])


def row_times(row: Tensor, x: Tensor) -> Tensor:
    """``row * x``, row (n,) spread over x (…, n): keeps both; both gradients are of full size, and the row's is summed
    before the other is made."""
    tape, shape, fmt = x.tape, x.shape, wider(row.format, x.format)
    needs_row, needs_x = row.needs_grad, x.needs_grad
    narrow = (1,) * (len(shape) - 1) + tuple(row.shape)

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [fresh(tape, shape, fmt, "mul (gradient)")] if needs_row else []
        if needs_x:
            grads.append(fresh(tape, shape, fmt, "mul (gradient)"))
        if needs_row:
            grads[0] = fresh(tape, narrow, fmt, "sum (gradient)")
        return grads

    kept = ([x] if needs_row else []) + ([row] if needs_x else [])
    return operator(tape, "mul", (row, x), shape, fmt, backward, kept)


def times_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x * mask[:, :, None]`` of hidden states and a padding mask of whole numbers, which it keeps."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "mul (gradient)")]

    return operator(tape, "mul", (x,), shape, fmt, backward, (mask,) if mask is not None else ())
