"""Matrix products: linear layers, Conv1D, batched products of attention, and the embedding look-up."""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.autograd import Leaf, Source, operator
from memcalc.tensors.ops.elementwise import Grads, contiguous, fresh, to
from memcalc.tensors.tensor import Parameter, Shape, Tensor


def linear(x: Tensor, weight: Source, bias: Parameter | None = None, cached: bool = True) -> Tensor:
    """``F.linear(x, weight, bias)``, weight (out, in): keeps x if the weight is trained, and nothing of its own
    for x's gradient (the weight lives anyway). Gradients of x and weight leave through views. ``cached``: not for
    ``x @ weight.T``, since autocast caches casts of weights, not of views of them, nor of a tensor of the graph in a
    weight's place."""
    return _product(x, weight, bias, weight.shape[0], weight_first=False, cached=cached)


def conv1d(x: Tensor, weight: Parameter, bias: Parameter) -> Tensor:
    """transformers' Conv1D (GPT-2): ``addmm(bias, x, weight)``, weight (in, out), not transposed on the way."""
    return _product(x, weight, bias, weight.shape[1], weight_first=True)


def _product(
    x: Tensor, weight: Source, bias: Parameter | None, out_features: int, weight_first: bool, cached: bool = True
) -> Tensor:
    tape = x.tape
    compute = tape.autocast.format if tape.autocast else x.format
    x = _cast_input(x, compute)
    w = cast_weight(x, weight, compute, cached)
    b = cast_weight(x, bias, compute) if bias is not None else None
    x_shape, w_shape = x.shape, weight.shape
    needs_x, needs_w = x.needs_grad, w.needs_grad
    needs_b = b is not None and b.needs_grad
    b_shape: Shape = bias.shape if bias is not None else ()

    def backward(grad: Tensor) -> Grads:
        grad_b = fresh(tape, b_shape, compute, "sum (bias gradient)") if needs_b else None
        grad_x = fresh(tape, x_shape, compute, "mm (input gradient)") if needs_x else None
        grad_w = fresh(tape, w_shape, compute, "mm (weight gradient)") if needs_w else None
        grads: Grads = [grad_b] if needs_b else []
        ordered = (grad_w, grad_x) if weight_first else (grad_x, grad_w)
        for one, viewed in zip(ordered, (not weight_first, True), strict=True):
            if one is not None:
                one.is_view = viewed
                grads.append(one)
        return grads

    sources: list[Tensor | Parameter] = [b] if b is not None else []
    sources += [w, x] if weight_first else [x, w]
    keeps = [x] if needs_w else []
    frozen: list[Parameter] = []
    if needs_x and isinstance(w, Tensor):
        keeps.append(w)
    elif needs_x:
        assert isinstance(weight, Parameter)
        frozen = [weight]
    return operator(tape, "mm", sources, (*x.shape[:-1], out_features), compute, backward, keeps, weights=frozen)


def _cast_input(x: Tensor, fmt: Format) -> Tensor:
    """``x`` as the product takes it; autocast keeps its copy of a leaf of the graph [at::autocast::cached_cast]."""
    autocast, leaf = x.tape.autocast, x.node
    if autocast is None or x.format is not Format.FP32 or not isinstance(leaf, Leaf) or x.is_view:
        return to(x, fmt)
    if leaf not in autocast.cache:
        autocast.cache[leaf] = to(x, fmt)
        autocast.cache[leaf].storage.record.component = "activations"
    return autocast.cache[leaf]


def cast_weight(x: Tensor, weight: Source, fmt: Format, cached: bool = True) -> Source:
    """The weight as the product takes it. Under autocast one in another format is cast; the copy of a trained fp32
    one is cached until autocast ends [at::autocast::cached_cast]."""
    tape = x.tape
    if weight.format is fmt:
        return weight
    if isinstance(weight, Tensor):
        return to(weight, fmt)
    cached = cached and weight.format is Format.FP32
    cache = tape.autocast.cache if tape.autocast and cached else {}
    found = cache.get(weight)
    if found is not None:
        return found

    def backward(grad: Tensor) -> Grads:
        return [grad]

    copy = operator(tape, "to (weight)", (weight,), weight.shape, fmt, backward)
    copy.storage.record.name = weight.name
    if weight.needs_grad and tape.autocast and cached:
        copy.storage.record.component = "activations"
        cache[weight] = copy
    return copy


def batched_product(a: Tensor, b: Tensor, shape: Shape, copies: tuple[bool, bool] = (False, False)) -> Tensor:
    """``torch.matmul`` of two activations (bmm): keeps each for the other's gradient. ``copies`` says which of
    them is laid out so that folding its leading dimensions into one copies it."""
    tape = a.tape
    if tape.autocast is not None:
        a, b = to(a, tape.autocast.format), to(b, tape.autocast.format)
    a, b = contiguous(a, copies[0]), contiguous(b, copies[1])
    a_shape, b_shape, fmt = a.shape, b.shape, a.format
    needs_a, needs_b = a.needs_grad, b.needs_grad
    keeps = ([a] if needs_b else []) + ([b] if needs_a else [])

    def backward(grad: Tensor) -> Grads:
        grads: Grads = []
        if needs_a:
            grads.append(_viewed(fresh(tape, a_shape, fmt, "bmm (gradient)")))
        if needs_b:
            grads.append(_viewed(fresh(tape, b_shape, fmt, "bmm (gradient)")))
        return grads

    return operator(tape, "bmm", (a, b), shape, fmt, backward, keeps)


def _viewed(x: Tensor) -> Tensor:
    x.is_view = True
    return x


def embedding(ids: Tensor, table: Parameter) -> Tensor:
    """``F.embedding``: keeps the ids; the gradient is dense, of the whole table's size."""
    tape, fmt = ids.tape, table.format
    w_shape = table.shape

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, w_shape, fmt, "embedding (gradient)")]

    return operator(tape, "embedding", (table,), (*ids.shape, table.shape[1]), fmt, backward, (ids,))
