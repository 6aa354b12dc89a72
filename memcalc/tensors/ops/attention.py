"""Scaled dot-product attention: which kernel runs, and what each keeps.

Shapes: query (batch, heads, queries, d); key and value (batch, kv_heads, keys, d), the values' d may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memcalc.formats import Format
from memcalc.tensors.autograd import graph_node, keep, result
from memcalc.tensors.ops.bias import add_into, padded_rows, spread
from memcalc.tensors.ops.elementwise import Grads, add, contiguous, dropout, fresh, scale, tanh, to
from memcalc.tensors.ops.matmul import batched_product
from memcalc.tensors.ops.norm import softmax
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Shape, Tensor

Kernel = Literal["flash", "efficient", "math"]


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """What decides the kernel, besides the tensors: the preference and the card's compute capability; ``causal``: each
    token sees those before it (or all see all, as in an encoder and in cross-attention)."""

    preference: str = "sdpa"
    capability: float = 8.0
    causal: bool = True


def output_copies(kernel: Kernel, head_dim: int, reorders: bool, by_head: bool = False) -> bool:
    """Whether ``attn_output.transpose(1, 2).contiguous()`` copies: the composite lays its result out by head, flash
    attention as the query is (``by_head``); what flash attention padded is cut out of a wider tensor. ``reorders``:
    whether the order of tokens and heads matters (``Tape.reorders``)."""
    if kernel == "flash":
        return bool(head_dim % 8) or (by_head and reorders)
    return kernel == "math" and reorders


def chosen_kernel(
    fmt: Format, head_dim: int, grouped: bool, masked: bool, call: AttentionCall, value_dim: int | None = None
) -> Kernel:
    """The kernel that ``F.scaled_dot_product_attention`` runs on CUDA in torch 2.13.

    flash: 16-bit, no explicit mask, head size at most 256 and that of the values too, compute capability 8.0 or
    later; grouped queries allowed. memory-efficient: head sizes multiples of 8 (16-bit) or 4 (fp32), no grouped
    queries; bf16 from capability 8.0. math: whatever is left [aten/src/ATen/native/transformers/cuda/sdp_utils.cpp].
    ``value_dim``: the values' head size, where it differs.
    """
    value_dim = value_dim or head_dim
    flash = fmt.is_half and not masked and head_dim == value_dim <= 256 and call.capability >= 8.0
    step = 8 if fmt.is_half else 4
    fits = head_dim % step == 0 and value_dim % step == 0
    efficient = not grouped and fits and (fmt is not Format.BF16 or call.capability >= 8.0)
    if call.preference in ("sdpa", "flash") and flash:
        return "flash"
    if call.preference in ("sdpa", "flash", "efficient") and efficient:
        return "efficient"
    return "math"


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    grouped: bool,
    call: AttentionCall,
    p: float,
    dense: bool = False,
    by_head: bool = False,
) -> Tensor:
    """``F.scaled_dot_product_attention``; the result is (batch, heads, queries, d), laid out as
    (batch, queries, heads, d) by the fused kernels. Under autocast the inputs are cast first. ``dense``: key and
    value are contiguous (repeated for every head, or read from a cache); ``by_head``: query and key are (their
    rotated part was joined with the rest)."""
    tape = query.tape
    if tape.autocast is not None:
        fmt = tape.autocast.format
        query, key, value = to(query, fmt), to(key, fmt), to(value, fmt)
        if mask is not None and mask.format is not Format.BOOL:
            mask = to(mask, fmt)
    kernel = chosen_kernel(query.format, query.shape[-1], grouped, mask is not None, call, value.shape[-1])
    if kernel == "math":
        return _math(query, key, value, mask, grouped, dense or grouped, p, by_head, call.causal)
    return _fused(query, key, value, mask, kernel)


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, kernel: Kernel) -> Tensor:
    tape, fmt = query.tape, query.format
    if kernel == "flash" and query.shape[-1] % 8:  # flash pads the head size to a multiple of 8
        padded = (query.shape[-1] + 7) // 8 * 8
        query, key, value = (contiguous(one, True, (*one.shape[:-1], padded), "pad") for one in (query, key, value))
    shapes = [one.shape for one in (query, key, value) if one.needs_grad]
    bias = _fused_bias(mask, query.shape[0], fmt) if mask is not None else None
    learned: Shape = ()
    if bias is not None:  # spread over the heads, and cut to the keys: a copy to the host has all of that
        whole = (*query.shape[:3], key.shape[2])
        if bias.needs_grad:
            learned = (*whole[:3], (whole[3] + 15) // 16 * 16)  # rows of the gradient are padded to 16
        bias = spread(bias, whole) if learned else bias.view(*whole)

    def backward(grad: Tensor) -> Grads:
        grads: Grads = [fresh(tape, shape, fmt, f"{kernel} attention (gradient)") for shape in shapes]
        return [*grads, fresh(tape, learned, fmt, "attention bias (gradient)")] if learned else grads

    kept = [query, key, value] + ([bias] if bias is not None else [])
    node = graph_node(tape, kept, backward)
    if node is not None:
        keep(tape, node, kept)
    shape = (*query.shape[:-1], value.shape[-1])
    out = Tensor(result(tape, shape, fmt, f"{kernel} attention"), shape, fmt, node)
    batch, heads, queries, _ = query.shape
    if kernel == "flash":
        sums = _beside(tape, (batch, heads, queries), Format.FP32, "logsumexp")
        random = [_beside(tape, (2,), Format.INT64, "rng state"), _beside(tape, (1,), Format.INT64, "rng state")]
    else:
        # The efficient kernel pads the rows to 32, and only makes them when a gradient is needed.
        rows: Size = (queries + 31) // 32 * 32 if node is not None else 0
        sums = _beside(tape, (batch, heads, rows), Format.FP32, "logsumexp")
        random = [_beside(tape, (1,), Format.INT64, "rng state") for _ in range(2)]
    if node is not None:
        keep(tape, node, (out, sums, *random))
    return out


def _beside(tape: Tape, shape: Shape, fmt: Format, op: str) -> Tensor:
    """What a kernel gives beside its result."""
    return Tensor(result(tape, shape, fmt, op), shape, fmt)


def _fused_bias(mask: Tensor, batch: Size, fmt: Format) -> Tensor:
    """A mask as the efficient kernel takes it: additive, for the whole batch if it was boolean, rows padded to a
    multiple of 8."""
    tape, shape = mask.tape, (batch, *mask.shape[1:])
    keys = shape[-1]
    if mask.format is not Format.BOOL and isinstance(keys, int):
        bias = to(mask, fmt)
        return bias if keys % 8 == 0 else padded_rows(bias, keys + 8 - keys % 8)
    bias = _additive(mask, shape, fmt) if mask.format is Format.BOOL else to(mask, fmt)
    padded = (keys + 7) // 8 * 8
    if isinstance(keys, int) and padded == keys:
        return bias
    return fresh(tape, (*shape[:-1], padded), fmt, "attention bias (padded)")


def _additive(mask: Tensor, shape: Shape, fmt: Format) -> Tensor:
    """``where(mask, 0, -inf)``: two numbers on the device, then the bias [sdp_utils.cpp, convert_boolean_attn_mask]."""
    numbers = [fresh(mask.tape, (1,), fmt, "scalar") for _ in range(2)]
    bias = fresh(mask.tape, shape, fmt, "attention bias")
    del numbers
    return bias


def _math(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    grouped: bool,
    dense: bool,
    p: float,
    by_head: bool,
    causal: bool,
) -> Tensor:
    """The composite that remains [_scaled_dot_product_attention_math]: 16-bit inputs are computed in fp32,
    autocast does not reach inside, and every intermediate but the raw scores lives until the end."""
    tape = query.tape
    outer, tape.autocast = tape.autocast, None
    batch, heads, queries, _ = query.shape
    origin, folds = query.format, tape.folds(heads)
    keys, d = key.shape[2], value.shape[-1]
    query_wide, key_wide, value_wide = (to(x, Format.FP32) if x.format.is_half else x for x in (query, key, value))
    scaled = scale(query_wide)
    bias = _math_bias(scaled, mask, keys, origin, causal)
    key_whole = _repeated(key_wide, heads) if grouped else key_wide
    value_whole = _repeated(value_wide, heads) if grouped else value_wide
    copies = (folds and not by_head, folds and not dense and not by_head)
    scaled_key = scale(key_whole)  # lives until the product is there, though a copy of it may be multiplied
    weights = batched_product(scaled, scaled_key, (batch, heads, queries, keys), copies)
    del scaled_key
    if bias is not None and bias.needs_grad and not (tape.selective and tape.saving is not None):
        weights = add_into(weights, bias)
    elif bias is not None:
        # Selective checkpointing watches every operator, and torch then adds out of place [areAnyTensorSubclassLike].
        weights = add(weights, bias, in_place=not (tape.selective and tape.saving is not None))
    weights = softmax(weights, op="safe_softmax")
    weights = dropout(weights, p)
    returned = to(weights.detach(), origin)  # the second result is made first
    out = batched_product(weights, value_whole, (batch, heads, queries, d), (False, folds and not dense))
    out = to(out, origin)
    tape.autocast = outer
    del query_wide, key_wide, value_wide, scaled, bias, key_whole, value_whole, weights, returned
    return out


def _math_bias(query: Tensor, mask: Tensor | None, keys: Size, origin: Format, causal: bool) -> Tensor | None:
    """The additive mask of the composite: a causal triangle where there is no mask and more than one query."""
    tape = query.tape
    if mask is not None and mask.format is not Format.BOOL:
        return mask
    if mask is not None:
        return _additive(mask, (query.shape[0], *mask.shape[1:]), origin)
    if tape.one_token or not causal:
        return None
    shape = (query.shape[2], keys)
    ones = fresh(tape, shape, Format.BOOL, "causal triangle")
    triangle = fresh(tape, shape, Format.BOOL, "causal triangle")
    del ones
    bias = fresh(tape, shape, query.format, "causal bias")
    del triangle
    return bias


def _repeated(x: Tensor, heads: int) -> Tensor:
    """``repeat_interleave``: keys or values copied to every query head; backward sums."""
    batch, kv_heads, length, d = x.shape
    if kv_heads == heads:
        return x
    tape, fmt, shape = x.tape, x.format, x.shape

    from memcalc.tensors.autograd import operator

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "sum (gradient)")]

    return operator(tape, "repeat_kv", (x,), (batch, heads, length, d), fmt, backward)


def repeat_kv(x: Tensor, heads: int) -> Tensor:
    """transformers' ``repeat_kv``: as ``repeat_interleave``, but a single head is only looked at many times."""
    batch, kv_heads, length, d = x.shape
    if kv_heads > 1 or heads == 1:
        return _repeated(x, heads)
    tape, fmt, shape = x.tape, x.format, x.shape

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "sum (gradient)")]

    return Tensor(x.storage, (batch, heads, length, d), fmt, graph_node(tape, (x,), backward), 0, True)


def attend_eager(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    p: float,
    softmax_format: Format | None,
    softcap: bool = False,
    by_head: bool = False,
    cached: bool = False,
    narrow: bool = True,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention written out in Python, as transformers' ``eager_attention_forward`` does: product, scaling,
    soft cap (``c * tanh(scores / c)``), mask, softmax (in ``softmax_format``), back to the value's format (if
    ``narrow``), dropout, product.

    ``cached``: key and value are read from a cache, head by head; ``bias``: of positions, added before the mask. Not
    ``narrow``, autocast leaves the weights in fp32, the dropout with them. Returns the result
    (batch, queries, heads·d) and the weights, which the caller holds."""
    tape = query.tape
    batch, heads, queries, _ = query.shape
    folds = tape.folds(heads)
    kv_heads, keys, d = key.shape[1], key.shape[2], value.shape[-1]
    repeated = kv_heads != heads and kv_heads > 1
    key = repeat_kv(key, heads)
    value = repeat_kv(value, heads)
    shape: Shape = (batch, heads, queries, keys)
    fmt = query.format
    single = kv_heads == 1 and heads > 1  # one head seen by all cannot be folded into the batch as it lies
    dense = repeated or (cached and not single)
    copies = (folds and not by_head, folds and not dense and (single or not by_head))
    scores = batched_product(query, key, shape, copies)
    scores = scale(scores)
    if softcap:
        scores = scale(scores, "div")
        scores = tanh(scores)
        scores = scale(scores)
    if bias is not None:
        scores = add(scores, bias)
    if mask is not None:
        scores = add(scores, mask)
    weights = softmax(scores, softmax_format)
    held = scores if softmax_format is not None else None  # softmax and cast are one expression there
    del scores
    if narrow:
        weights = to(weights, fmt)
    del held
    weights = dropout(weights, p)
    out = batched_product(weights, value, (batch, heads, queries, d), (False, folds and not dense))
    return contiguous(out, tape.reorders(heads), (batch, queries, heads * d)), weights
