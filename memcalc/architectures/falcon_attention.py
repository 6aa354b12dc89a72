"""Falcon's attention: how its heads are cut out of one product, and what a single key head costs."""

from __future__ import annotations

from memcalc.architectures.layers import Linear
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tensor import Shape, Tensor

Heads = tuple[Tensor, Tensor, Tensor]


class SplitLinear(Linear):
    """``x @ weight.T``, then ``+ bias``: two operators, and no cached cast under autocast."""

    __slots__ = ()

    @classmethod
    def of(cls, one: Linear) -> SplitLinear:
        """The same layer, computed this way."""
        return cls(one.weight, one.transposed, one.bias, one.lora, one.down, one.up, one.magnitude)

    def product(self, x: Tensor) -> Tensor:
        out = ops.linear(x, self.weight, cached=False)
        return out if self.bias is None else ops.add(out, self.bias)


def added_in_place(a: Tensor, b: Tensor) -> Tensor:
    """``a += b``: a's storage; both get the gradient."""
    needs = [one.needs_grad for one in (a, b)]

    def backward(grad: Tensor) -> Grads:
        return [grad for one in needs if one]

    return Tensor(a.storage, a.shape, a.format, graph_node(a.tape, (a, b), backward), 0, a.is_view)


def indexed(x: Tensor, shape: Shape) -> Tensor:
    """``x[..., [i], :]``: indexing with a list copies, and keeps the list on the device (torch's fake CUDA ones leave
    it on the host); backward fills a zero tensor of x's whole size."""
    tape, whole, fmt = x.tape, x.shape, x.format
    places = fresh(tape, (1,), Format.INT64, "index")
    places.storage.record.fixed = True

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, whole, fmt, "index (gradient)")]

    return operator(tape, "index", (x,), shape, fmt, backward, (places,))


def single_head(fused: Tensor, run: Run, heads: int, d: int) -> Heads:
    """Queries (batch, heads, length, d) as a view, one head of keys and one of values as copies."""
    b, s = run.batch, run.length
    query = ops.slice_last(fused, heads * d).view(b, heads, s, d)
    key = indexed(fused, (b, 1, s, d))
    value = indexed(fused, (b, 1, s, d))
    return query, key, value


def grouped_heads(fused: Tensor, run: Run, groups: int, heads: int, d: int) -> Heads:
    """Queries, keys and values, all (batch, heads, length, d): a group's keys for each of its heads. With several
    groups ``flatten`` has to copy, with one it is only another look at the same head, by all of them."""
    b, s = run.batch, run.length
    query = ops.slice_last(fused, heads * d).view(b, heads, s, d)
    key = indexed(fused, (b, groups, s, d))
    value = indexed(fused, (b, groups, s, d))
    if groups == heads:
        return query, key, value
    seen = spread if groups > 1 else looked
    whole = ops.contiguous(query, groups > 1), seen(key, heads), seen(value, heads)
    del query, key, value
    return whole


def spread(x: Tensor, heads: int) -> Tensor:
    """``broadcast_to`` every head of the group, then ``flatten``: a copy; backward sums."""
    tape, whole, fmt = x.tape, x.shape, x.format
    b, groups, s, d = whole

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, whole, fmt, "sum (gradient)") if groups != heads else grad]

    return operator(tape, "flatten", (x,), (b, heads, s, d), fmt, backward)


def seen_by_all(x: Tensor, heads: int) -> Tensor:
    """One head broadcast to all in a product: a copy, except where the batch is 1 and it can be looked at so."""
    return looked(x, heads) if x.tape.one_sequence else spread(x, heads)


def looked(x: Tensor, heads: int) -> Tensor:
    """One head as all of them, without a copy; backward sums."""
    tape, whole, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, whole, fmt, "sum (gradient)")]

    shape = (whole[0], heads, *whole[2:])
    return Tensor(x.storage, shape, fmt, graph_node(tape, (x,), backward), 0, True)


def attend_sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, run: Run) -> Tensor:
    """``F.scaled_dot_product_attention`` with a mask and as many key heads as there are: one key head for several
    queries leaves only the composite, which spreads it by broadcasting."""
    batch, heads, length, d = query.shape
    reorders = query.tape.reorders(heads)
    if key.shape[1] == heads:
        out = ops.attend(query, key, value, mask, False, run.attention, 0.0, run.cache is not None)
        copies = ops.output_copies(ops.chosen_kernel(out.format, d, False, True, run.attention), d, reorders)
    else:
        out = broadcast_math(query, key, value, mask)
        copies = reorders
    return ops.contiguous(out, copies, (batch, length, heads * d))


def broadcast_math(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """The composite attention [_scaled_dot_product_attention_math] with one key head for all query heads: 16-bit
    inputs are computed in fp32; every intermediate but the raw scores lives until the end."""
    tape = query.tape
    if tape.autocast is not None:
        fmt = tape.autocast.format
        query, key, value = ops.to(query, fmt), ops.to(key, fmt), ops.to(value, fmt)
    outer, tape.autocast = tape.autocast, None
    origin = query.format
    batch, heads, length, d = query.shape
    keys = key.shape[2]
    wide = [ops.to(x, Format.FP32) for x in (query, key, value)]
    scaled = ops.scale(wide[0])
    bias = fresh(tape, (batch, *mask.shape[1:]), origin, "attention bias")
    copies = (tape.folds(heads) and not tape.one_token, False)
    weights = ops.batched_product(scaled, seen_by_all(ops.scale(wide[1]), heads), (batch, heads, length, keys), copies)
    weights = ops.softmax(weights, op="safe_softmax")
    returned = ops.to(weights.detach(), origin)
    out = ops.batched_product(weights, seen_by_all(wide[2], heads), (batch, heads, length, d))
    out = ops.to(out, origin)
    tape.autocast = outer
    del wide, scaled, bias, weights, returned
    return out


def attend_eager(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, fmt: Format, run: Run
) -> tuple[Tensor, Tensor]:
    """Scores scaled in place, softmax in the hidden states' format, no dropout."""
    tape = query.tape
    batch, heads, length, d = query.shape
    keys = key.shape[2]
    folds, single = tape.folds(heads), key.shape[1] != heads
    dense = run.cache is not None
    if tape.autocast is not None:
        query, key = ops.to(query, tape.autocast.format), ops.to(key, tape.autocast.format)
    key_copied = folds and not single and not dense
    whole = seen_by_all(key, heads) if single else key
    scores = ops.batched_product(query, whole, (batch, heads, length, keys), (folds and not tape.one_token, key_copied))
    del whole
    summed = ops.add(scores, mask)
    weights = ops.softmax(summed, fmt)
    scores = weights
    del summed
    if tape.autocast is not None:
        weights, value = ops.to(weights, tape.autocast.format), ops.to(value, tape.autocast.format)
    whole = seen_by_all(value, heads) if single else value
    out = ops.batched_product(weights, whole, (batch, heads, length, d), (False, key_copied))
    del whole
    return ops.contiguous(out, tape.reorders(heads), (batch, length, heads * d)), scores
