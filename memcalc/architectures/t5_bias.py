"""T5's position biases and masks, and what becomes of them before an attention kernel reads them.

Mirrors transformers 5.23 models/t5/modeling_t5.py (compute_bias) and integrations/sdpa_attention.py
(create_position_bias_mask).
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.encoder import padding_mask
from memcalc.architectures.run import Run
from memcalc.architectures.seq2seq import causal_mask
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import lasting_leaf
from memcalc.tensors.ops.bias import where
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor


@dataclass(slots=True)
class T5Run:
    """One side's run with its masks. ``source``: how many tokens the decoder finds in the encoder."""

    run: Run
    side: str
    source: Size = 0
    mask: Tensor | None = None
    cross_mask: Tensor | None = None


def made_masks(tape: Tape, run: Run, fmt: Format, source: Size, causal: bool) -> tuple[Tensor | None, Tensor | None]:
    """The masks of one side: over its own tokens, and over the encoder's (only they are padded)."""
    if not causal:
        return padding_mask(tape, run, run.length, fmt), None
    own = causal_mask(tape, run, fmt)
    return own, padding_mask(tape, run, source, fmt)


def bias_of_positions(tape: Tape, table: Parameter, queries: Size, keys: Size, both_ways: bool) -> Tensor:
    """``compute_bias``: the bucket of each distance, looked up; (1, heads, queries, keys) with the heads innermost."""
    shape = (queries, keys)
    distance = fresh(tape, shape, Format.INT64, "sub")
    buckets = _buckets(tape, shape, both_ways)
    values = ops.embedding(buckets, table)
    del distance, buckets
    return Tensor(values.storage, (1, table.shape[1], queries, keys), values.format, values.node, values.slot, True)


def _buckets(tape: Tape, shape: Shape, both_ways: bool) -> Tensor:
    def made(fmt: Format, op: str) -> Tensor:
        return fresh(tape, shape, fmt, op)

    buckets = made(Format.INT64, "mul") if both_ways else None
    distance = made(Format.INT64, "abs")
    near = made(Format.BOOL, "lt")
    scaled = made(Format.FP32, "log")
    scaled = made(Format.FP32, "mul")
    far = made(Format.INT64, "to")
    del scaled
    far = made(Format.INT64, "add")
    limit = made(Format.INT64, "full_like")
    far = made(Format.INT64, "min")
    del limit
    found = made(Format.INT64, "where")
    if buckets is not None:
        found = buckets  # added in place
    del distance, near, far
    return found


def no_bias(tape: Tape, shape: Shape, fmt: Format, run: Run) -> Tensor:
    """The zeros that stand for a bias to the encoder's tokens; with checkpointing they are made to need a gradient."""
    zeros = fresh(tape, shape, fmt, "zeros")
    if run.checkpointing:
        lasting_leaf(tape, zeros)
    return zeros


def biased_mask(query: Tensor, bias: Tensor, mask: Tensor | None, causal: bool, permuted: bool) -> Tensor:
    """The additive mask of the kernel: the bias where tokens may see each other, made contiguous."""
    tape, shape = query.tape, bias.shape
    if mask is None and causal:
        flags = fresh(tape, shape[2:], Format.BOOL, "causal mask")
        bias = where(flags, bias, shape)
        del flags
    elif mask is not None:
        bias = where(mask, bias, (query.shape[0], *shape[1:]))
    return ops.contiguous(bias, permuted, bias.shape)
