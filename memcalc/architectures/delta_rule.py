"""The gated delta rule as transformers computes it without flash-linear-attention: in chunks of 64 tokens, and for a
single token from a state.

Mirrors ``torch_chunk_gated_delta_rule`` and ``torch_recurrent_gated_delta_rule`` of transformers 5.23
models/qwen3_next/modeling_qwen3_next.py, which Qwen3.5, Kimi Linear and OLMo Hybrid have in forms of their own. All
inner tensors are fp32.
"""

from __future__ import annotations

from memcalc.architectures.delta_loop import CHUNK, FIRST, WIDE, Delta, Loop
from memcalc.architectures.tokens import grown
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import scan, slices
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Shape, Tensor


def l2norm(x: Tensor) -> Tensor:
    """``x * rsqrt((x * x).sum(-1) + ε)``."""
    inverse = ops.rsqrt(ops.add_scalar(scan.sum_last(_squared(x))))
    return ops.mul(x, inverse)


def _squared(x: Tensor) -> Tensor:
    """``x * x``: two gradients, of which one is added to the other."""
    return ops.mul(x, x)


def chunked(
    one: Delta, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, beta: Tensor, cached: bool
) -> tuple[Tensor, Tensor | None]:
    """Queries and keys (batch, length, key heads, key width), values likewise, decay and beta (batch, length, value
    heads): the result (batch, length, value heads, value width), and if it is ``cached`` the last state."""
    tape, fmt = query.tape, query.format
    b, s = value.shape[:2]
    h, k, v = one.value_heads, one.key_dim, one.value_dim
    count = -(-s // CHUNK)
    whole = count * CHUNK
    if one.shared > 1:
        query = slices.repeated(query, (b, s, h, k))
        key = slices.repeated(key, (b, s, h, k))
    query, key, value, beta, decay = (ops.to(x, WIDE) for x in (query, key, value, beta, decay))
    query = l2norm(query)
    key = l2norm(key)
    query = ops.scale(query)
    query, key, value = (slices.padded(x, (b, h, whole, width)) for x, width in ((query, k), (key, k), (value, v)))
    beta, decay = (slices.padded(x, (b, h, whole)) for x in (beta, decay))
    v_beta = ops.mul(value, slices.reshaped(beta, (b, h, whole, 1)))
    k_beta = ops.mul(key, slices.reshaped(beta, (b, h, whole, 1)))
    query, key = (slices.reshaped(x, (b, h, count, CHUNK, k)) for x in (query, key))
    # Their gradients come from systems whose results lie column by column.
    k_beta = slices.reshaped(k_beta, (b, h, count, CHUNK, k), count > 1)
    v_beta = slices.reshaped(v_beta, (b, h, count, CHUNK, v), count > 1)
    row, square = (b, h, count, CHUNK), (b, h, count, CHUNK, CHUNK)
    decay = decay.view(*row)
    ones = fresh(tape, (CHUNK, CHUNK), Format.BOOL, "ones")
    mask = fresh(tape, (CHUNK, CHUNK), Format.BOOL, "triu")
    del ones
    summed = scan.cumsum(decay)
    pairwise = scan.difference(summed.view(*row, 1), summed.view(b, h, count, 1, CHUNK), square)
    pairwise = scan.masked_fill(pairwise, mask)
    pairwise = scan.exp(pairwise)
    # In fp32 no cast has laid the heads out one after another, and padding does so only where something is missing.
    turned = fmt is WIDE and s % CHUNK == 0
    bulk = turned and (count > 1 or (one.shared > 1 and not tape.one_sequence))
    system = ops.mul(ops.batched_product(k_beta, key, square, (bulk, bulk)), pairwise)
    scores = ops.mul(ops.batched_product(query, key, square, (bulk, bulk)), pairwise)
    decayed = ops.mul(k_beta, scan.exp(summed).view(*row, 1))
    values = scan.solve_triangular(system, v_beta)
    keys = scan.solve_triangular(system, decayed)
    state = fresh(tape, (b, h, k, v), WIDE, "zeros (state)")
    out = fresh(tape, (b, h, count, CHUNK, v), WIDE, "zeros_like")
    query = ops.mul(query, scan.exp(summed).view(*row, 1))
    enabled = tape.grad_enabled
    tape.grad_enabled = enabled and count > 1  # what only the last state is made of needs none
    last = ops.slice_last(summed, 1)
    key = ops.mul(key, scan.exp(scan.difference(last, summed, row)).view(*row, 1))
    del last
    steps = scan.exp(slices.select(summed, (b, h, count)))
    tape.grad_enabled = enabled
    loop = Loop(out, state, turned and one.shared > 1 and not tape.one_sequence)
    del out, state
    shown = count if tape.offload or tape.selective else min(count, FIRST + 2)
    for i in range(shown):
        start = len(tape.events)
        loop.turn(one, b, query, key, values, keys, scores, steps, i == shown - 1)
        if i == FIRST - 1 and count > shown and tape.grad_enabled:  # without gradients nothing grows with the chunks
            loop.skip(count - shown, grown(tape, start))
    kept = loop.state if cached else None
    loop.out = ops.contiguous(loop.out, count > 1, (b, h, whole, v))
    if whole > s:
        loop.out = ops.slice_last(loop.out, v)
    loop.out = loop.out.view(b, s, h, v)
    loop.out = ops.contiguous(loop.out, count == 1) if fmt is WIDE else ops.to(loop.out, fmt)
    out = loop.out
    del query, key, value, decay, beta, v_beta, k_beta, mask, summed, pairwise, system, scores, decayed, values, keys
    del steps, loop
    return out, kept


def step(one: Delta, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """One token from a cached state: (batch, 1, value heads, value width), and the new state. No gradients."""
    tape, fmt, b = query.tape, query.format, query.shape[0]
    h, k, v = one.value_heads, one.key_dim, one.value_dim
    state_shape, row = (b, h, k, v), (b, h, v)
    if one.shared > 1:
        query = slices.repeated(query, (b, 1, h, k))
        key = slices.repeated(key, (b, 1, h, k))
    query, key, value, beta, decay = (ops.to(x, WIDE) for x in (query, key, value, beta, decay))
    query = l2norm(query)
    key = l2norm(key)
    query = ops.scale(query, "div")
    out = fresh(tape, (b, h, 1, v), WIDE, "zeros_like")
    gone = fresh(tape, (b, h), WIDE, "exp")
    state = fresh(tape, state_shape, WIDE, "mul (state)")
    old = _read(tape, state_shape, row)
    delta = fresh(tape, row, WIDE, "sub")
    delta = fresh(tape, row, WIDE, "mul")
    entering = fresh(tape, state_shape, WIDE, "mul")
    new = fresh(tape, state_shape, WIDE, "add (state)")
    del entering
    state = new
    del new
    found = _read(tape, state_shape, row)
    del found
    result = ops.to(out, fmt).view(b, 1, h, v)
    del out, query, key, value, gone, decay, beta, old, delta
    return result, state


def _read(tape: Tape, state: Shape, row: Shape) -> Tensor:
    """``(state * key).sum(-2)``: what a state says to a key."""
    spread = fresh(tape, state, WIDE, "mul")
    out = fresh(tape, row, WIDE, "sum")
    del spread
    return out
