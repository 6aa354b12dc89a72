"""Products of tensors whose dimensions have letters, as ``torch.einsum`` makes them: what must be copied on the way
depends on the order in which the dimensions lie in memory.

``sumproduct_pair`` turns each operand into a batch of matrices: dimensions that both have and that stay, those of one
alone, those summed over. Where these groups are not neighbours in memory, the reshape copies; so does backward with a
gradient that lies in another order [torch 2.13 aten/src/ATen/native/Linear.cpp; aten/src/ATen/TensorIterator.cpp:
reorder_dimensions]. What cuBLAS copies beside that, no trace sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memcalc.formats import wider
from memcalc.tensors.autograd import Source, graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh, to
from memcalc.tensors.ops.scan import masked_fill
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor

GAP = "|"
"""In an order: the dimensions to its left cannot be merged with those to its right (a slice was cut out)."""


@dataclass(slots=True)
class Axes:
    """How large the dimension of each letter is; ``single``: those that are 1."""

    tape: Tape
    sizes: Mapping[str, Size]
    single: frozenset[str] = frozenset()

    def shape(self, dims: str) -> Shape:
        return tuple(self.sizes[one] for one in dims)

    def merges(self, order: str, groups: Sequence[str]) -> bool:
        """Whether a reshape can look at each group of dimensions as one, without a copy."""
        lies = "".join(one for one in order if one not in self.single)
        return all("".join(one for one in group if one not in self.single) in lies for group in groups)


@dataclass(slots=True)
class Order:
    """The order of a tensor's gradient, once backward has made it."""

    back: str | None = None


@dataclass(slots=True)
class Laid:
    """A tensor or parameter, and its dimensions' letters as they lie in memory, the outermost first."""

    tensor: Source
    order: str
    grad: Order = field(default_factory=Order)

    @property
    def value(self) -> Tensor:
        """The tensor, where it is none of the model's parameters."""
        assert isinstance(self.tensor, Tensor)
        return self.tensor

    @property
    def dims(self) -> str:
        return self.order.replace(GAP, "")


def settle(grad: Order, order: str) -> None:
    """The first gradient that arrives decides: others are added to it."""
    if grad.back is None:
        grad.back = order


def arrived(order: str, grad: Order) -> str:
    """The order of the gradient that backward got."""
    return grad.back or order.replace(GAP, "")


def combined(dims: str, orders: Sequence[str]) -> str:
    """The order in which an elementwise operator lays out its result of ``dims``: that of its first operand; where it
    has not both of two dimensions, the next one's."""
    inner = list(reversed(dims))
    for start in range(1, len(inner)):
        place = start
        for other in range(start - 1, -1, -1):
            sign = _compared(inner[other], inner[place], orders)
            if sign < 0:
                break
            if sign > 0:
                inner[other], inner[place] = inner[place], inner[other]
                place = other
    return "".join(reversed(inner))


def _compared(first: str, second: str, orders: Sequence[str]) -> int:
    """1 where ``first`` lies outside ``second``, -1 where inside, 0 where nothing says so."""
    for order in orders:
        if first in order and second in order:
            return 1 if order.index(first) < order.index(second) else -1
    return 0


def times(axes: Axes, a: Laid, b: Laid, dims: str) -> Laid:
    """``a * b`` of dimensions ``dims``, to which either may be spread: keeps each for the other's gradient, which is
    made at full size; the engine sums it."""
    tape, shape, fmt = axes.tape, axes.shape(dims), wider(a.tensor.format, b.tensor.format)
    order, a_order, b_order = combined(dims, (a.order, b.order)), a.order, b.order
    back, a_back, b_back = Order(), a.grad, b.grad
    needs_a, needs_b = a.tensor.needs_grad, b.tensor.needs_grad

    def backward(grad: Tensor) -> Grads:
        grads: Grads = []
        lies = arrived(order, back)
        for needed, own, its, other in ((needs_a, a_order, a_back, b_order), (needs_b, b_order, b_back, a_order)):
            if needed:
                made = combined(dims, (lies, other))
                settle(its, "".join(one for one in made if one in own))
                grads.append(fresh(tape, shape, fmt, "mul (gradient)"))
        return grads

    kept: list[Tensor] = []
    weights: list[Parameter] = []
    for needed, other in ((needs_a, b.tensor), (needs_b, a.tensor)):
        if needed and isinstance(other, Tensor):
            kept.append(other)
        elif needed:
            assert isinstance(other, Parameter)
            weights.append(other)
    out = operator(tape, "mul", (a.tensor, b.tensor), shape, fmt, backward, kept, weights=weights)
    if out.node is not None and out.node.edges:
        needing = [one for one in (a, b) if one.tensor.needs_grad]
        for edge, one in zip(out.node.edges, needing, strict=True):
            edge.spread = set(one.dims) != set(dims)
    return Laid(out, order, back)


def summed(axes: Axes, a: Laid, b: Laid) -> Laid:
    """``a + b`` of the same dimensions, laid out like a."""
    fmt, dims = wider(a.value.format, b.value.format), a.dims
    order, back, its = combined(dims, (a.order, b.order)), Order(), [one.grad for one in (a, b) if one.value.needs_grad]

    def backward(grad: Tensor) -> Grads:
        for one in its:
            settle(one, arrived(order, back))
        return [grad] * len(its)

    return Laid(operator(axes.tape, "add", (a.value, b.value), axes.shape(dims), fmt, backward), order, back)


def exponential(axes: Axes, x: Laid) -> Laid:
    """``x.exp()``: keeps its result."""
    tape, fmt, order, shape = axes.tape, x.value.format, x.dims, axes.shape(x.dims)
    back, its = Order(), x.grad

    def backward(grad: Tensor) -> Grads:
        settle(its, combined(order, (arrived(order, back), order)))
        return [fresh(tape, shape, fmt, "exp (gradient)")]

    return Laid(operator(tape, "exp", (x.value,), shape, fmt, backward, keeps_output=True), order, back)


def merged(axes: Axes, x: Laid, old: str, new: str, shape: Shape) -> Laid:
    """One dimension seen as several (``old`` in x's order, ``new`` in the result's): a view; backward copies a gradient
    in which these are not neighbours."""
    tape, own, fmt = axes.tape, x.value.shape, x.value.format
    order, back, its = x.order.replace(old, new), Order(), x.grad

    def backward(grad: Tensor) -> Grads:
        lies = arrived(order, back)
        if axes.merges(lies, (new,)):
            settle(its, lies.replace(new, old) if new in lies else lies)
            return [grad.view()]
        settle(its, "".join(one for one in order.replace(new, old) if one != GAP))
        return [fresh(tape, own, fmt, "clone (gradient)")]

    return Laid(Tensor(x.value.storage, shape, fmt, graph_node(tape, (x.value,), backward), 0, True), order, back)


def contracted(axes: Axes, a: Laid, b: Laid, dims: str) -> Laid:
    """``torch.einsum`` of a and b to ``dims``: the product of two batches of matrices, the one whose own dimensions
    come first in the result before the other."""
    tape = axes.tape
    labels = dims + "".join(sorted(set(a.dims) - set(dims)))
    both = "".join(one for one in dims if one in a.dims and one in b.dims)
    left, right = ("".join(one for one in dims if one in x.dims and one not in both) for x in (a, b))
    if left and right and dims.index(right[0]) < dims.index(left[0]):
        a, b, left, right = b, a, right, left
    over = labels[len(dims) :]
    first = _matrices(axes, a, (both, left, over))
    second = _matrices(axes, b, (both, over, right))
    if tape.autocast is not None:
        first, second = to(first, tape.autocast.format), to(second, tape.autocast.format)
    fmt, order, back = first.format, both + left + right, Order()
    needs_a, needs_b = first.needs_grad, second.needs_grad
    a_shape, b_shape, shape = a.value.shape, b.value.shape, axes.shape(dims)
    a_back, b_back = a.grad, b.grad

    def product(grad: Tensor) -> Grads:
        grads: Grads = []
        if needs_a:
            grads.append(_looked(fresh(tape, a_shape, fmt, "bmm (gradient)")))
            settle(a_back, both + left + over)
        if needs_b:
            grads.append(_looked(fresh(tape, b_shape, fmt, "bmm (gradient)")))
            settle(b_back, both + over + right)
        return grads

    def reshape(grad: Tensor) -> Grads:
        if axes.merges(arrived(order, back), (both, left, right)):
            return [grad.view()]
        return [fresh(tape, shape, fmt, "clone (gradient)")]

    kept = ([first] if needs_b else []) + ([second] if needs_a else [])
    made = operator(tape, "bmm", (first, second), shape, fmt, product, kept)
    del kept
    node = graph_node(tape, (made,), reshape)
    return Laid(Tensor(made.storage, shape, fmt, node, 0, True), order, back)


def _matrices(axes: Axes, x: Laid, groups: Sequence[str]) -> Tensor:
    """x with each group of dimensions as one: a copy where it must be."""
    own = x.value
    if axes.merges(x.order, groups):
        return own

    def backward(grad: Tensor) -> Grads:
        return [grad.view()]

    return operator(axes.tape, "clone", (own,), own.shape, own.format, backward)


def _looked(x: Tensor) -> Tensor:
    x.is_view = True
    return x


def widened(axes: Axes, x: Laid, mask: Tensor, dims: str) -> Laid:
    """``x[..., None].expand(…).masked_fill(mask, 0)``: laid out anew as ``dims``; backward sums the last dimension."""
    tape, own, fmt, shape = axes.tape, x.value.shape, x.value.format, axes.shape(dims)
    its, order = x.grad, x.dims

    def backward(grad: Tensor) -> Grads:
        settle(its, order)
        return [fresh(tape, own, fmt, "sum (gradient)")]

    spread = Tensor(x.value.storage, shape, fmt, graph_node(tape, (x.value,), backward), 0, True)
    return Laid(masked_fill(spread, mask), dims)
