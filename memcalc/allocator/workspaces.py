"""cuBLAS workspaces in an event log: torch takes them from its caching allocator, no trace of tensors sees them.

One for the thread that runs forward, taken at the first product; in training one more for autograd's thread. They
live to the end of the process [aten/src/ATen/cuda/CublasHandlePool.cpp].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LogEvent = tuple[int, int]
"""(signed bytes, storage): a birth or a death."""


def with_workspaces(log: Sequence[LogEvent], starts: Iterable[int], size: int) -> list[LogEvent]:
    """``log`` with a workspace of ``size`` bytes born at each of ``starts`` (indices of ``log``) and never freed.

    >>> with_workspaces([(512, 0), (-512, 0)], [1], 1024)
    [(512, 0), (1024, -1), (-512, 0)]
    """
    found: list[LogEvent] = []
    before = 0
    for number, start in enumerate(sorted(starts), 1):
        found += log[before:start]
        found.append((size, -number))
        before = start
    return found + list(log[before:])
