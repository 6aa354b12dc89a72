"""DistributedDataParallel: buckets of gradients beside the gradients.

The reducer allocates a flat buffer for every bucket when the model is wrapped and keeps it. With
``gradient_as_bucket_view=False`` (the default) each gradient is copied into its bucket, reduced there and copied back,
so that both exist; with True the gradients become views of the buckets [torch 2.13 torch/nn/parallel/distributed.py,
torch/csrc/distributed/c10d/reducer.cpp: initialize_buckets, mark_variable_ready_dense].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memcalc.formats import Format
from memcalc.tensors.tape import Tape, rounded
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.watch import Watch
from memcalc.units import MiB

FIRST_BUCKET = MiB
"""Bytes after which the first bucket is full [reducer.hpp: kDefaultFirstBucketBytes]."""
BUCKET = 25 * MiB
"""Bytes after which any other is [distributed.py: bucket_cap_mb]."""


class BucketViews(Watch):
    """Every gradient is copied into its bucket and then is a view of it."""

    def delivered(self, tape: Tape, parameter: Parameter) -> None:
        parameter.grad = None


def bucket_bytes(trained: Sequence[Parameter]) -> int:
    """Bytes of all buckets. The first iteration runs with one unlimited bucket a format; after it they are made anew,
    small, in the order in which gradients became ready (here: the last parameters first). The two differ by the
    rounding of each bucket; the larger is taken."""
    found: int = sum(rounded(size) for size in largest(trained))
    return found


def largest(trained: Sequence[Parameter]) -> list[int]:
    """Bytes of each bucket of the first iteration or of the later ones, whichever are more together."""
    totals: dict[Format, int] = {}
    for one in trained:
        totals[one.format] = totals.get(one.format, 0) + one.count * one.repeat * one.format.size
    return max(list(totals.values()), rebuilt(trained), key=lambda sizes: sum(rounded(size) for size in sizes))


def rebuilt(trained: Sequence[Parameter]) -> list[int]:
    """Bytes of each bucket from the second iteration on [reducer.cpp: compute_bucket_assignment_by_size].

    >>> [size // MiB for size in rebuilt([Parameter("w", (2048, 1024), Format.FP32)] * 4)]
    [8, 24]
    """
    open_: dict[Format, int] = {}
    limits: dict[Format, int] = {}
    closed = []
    for one in _backwards(trained):
        size = open_.get(one.format, 0) + one.count * one.format.size
        if size >= limits.get(one.format, FIRST_BUCKET):
            closed.append(size)
            size, limits[one.format] = 0, BUCKET
        open_[one.format] = size
    return closed + [size for size in open_.values() if size]


def _backwards(trained: Sequence[Parameter]) -> Iterator[Parameter]:
    for one in reversed(trained):
        for _ in range(one.repeat):
            yield one
