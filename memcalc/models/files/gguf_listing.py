"""The tensors of a GGUF file as a short list: one row for equal tensors of different blocks.

A row is ``[name, shape, block type]``, or ``["blk.*.attn_v.weight", shape, block type, "0-3,7"]`` with the numbers of
the blocks. Shapes have a row's length first, as the file has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from memcalc.errors import ModelError
from memcalc.models.files.gguf_header import BLOCK_TYPES, Tensor

FIELD = "model.stored.tensors"
MOST = 50_000
"""Tensors: several times as many as any published file has."""
_BLOCK = re.compile(r"blk\.(\d{1,4})\.")
_NAME = re.compile(r"[A-Za-z][\w.*-]{0,79}")
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_KINDS = frozenset(BLOCK_TYPES.values())


def rows(held: Iterable[Tensor]) -> list[list[Any]]:
    """The list of a file's tensors.

    >>> rows(Tensor(f"blk.{one}.attn_v.weight", (64, 32), "Q6_K", 0) for one in (0, 1, 2, 5))
    [['blk.*.attn_v.weight', [64, 32], 'Q6_K', '0-2,5']]
    """
    found: dict[tuple[str, tuple[int, ...], str], list[int]] = {}
    for one in held:
        block = _BLOCK.match(one.name)
        name = _BLOCK.sub("blk.*.", one.name, count=1)
        blocks = found.setdefault((name, one.shape, one.kind), [])
        if block:
            blocks.append(int(block[1]))
    return [
        [name, list(shape), kind, *([_ranges(sorted(blocks))] if blocks else [])]
        for (name, shape, kind), blocks in found.items()
    ]


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for one in numbers:
        if runs and one == runs[-1][1] + 1:
            runs[-1][1] = one
        else:
            runs.append([one, one])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def tensors(given: Any) -> tuple[Tensor, ...]:
    """The tensors of a list that may come from anybody; ModelError where it is none."""
    if not isinstance(given, list) or len(given) > MOST:
        raise ModelError("model.stored.tensors must be a list of tensors", FIELD)
    found: dict[str, Tensor] = {}
    for row in given:
        for one in _row(row):
            if one.name in found:
                raise ModelError(f"the tensor {one.name!r} is there twice", FIELD)
            found[one.name] = one
            if len(found) > MOST:
                raise ModelError(f"more than {MOST:,} tensors are no real file", FIELD)
    return tuple(found.values())


def _row(row: Any) -> Iterator[Tensor]:
    if not isinstance(row, list) or len(row) not in (3, 4):
        raise ModelError("a tensor's row has a name, a shape, a block type, and the blocks where there are any", FIELD)
    name, shape, kind = row[:3]
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ("*" in name) is (len(row) == 3):
        raise ModelError(f"a tensor cannot be called {str(name)[:60]!r}", FIELD)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelError(f"{str(kind)[:20]!r} is no block type", FIELD, sorted(_KINDS))
    whole = isinstance(shape, list) and 1 <= len(shape) <= 4 and all(type(one) is int for one in shape)
    if not whole or any(not 0 < one < 1 << 40 for one in shape):
        raise ModelError(f"the tensor {name!r} has an impossible shape", FIELD)
    for block in _numbers(name, row[3]) if len(row) == 4 else (None,):
        yield Tensor(name if block is None else name.replace("*", str(block)), tuple(shape), kind, 0)


def _numbers(name: str, ranges: Any) -> Iterator[int]:
    for part in ranges.split(",") if isinstance(ranges, str) and len(ranges) <= 20_000 else ("",):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise ModelError(f"the blocks of {name!r} must be numbers such as 0-3,7", FIELD)
        yield from range(int(found[1]), int(found[2] or found[1]) + 1)
