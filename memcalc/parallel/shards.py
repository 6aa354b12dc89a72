"""How many values of a tensor, or of all tensors, one of ``n`` ranks keeps: padding included, for the fullest rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.tensors.tensor import Parameter


def rows(parameter: Parameter, n: int) -> int:
    """FSDP2: values of one shard along the first dimension, ceil(rows / n) rows. Every rank allocates that much; rank 0
    also fills it [torch 2.13, _fsdp_param.py: _init_sharded_param, padded_sharded_size].

    >>> from memcalc.formats import Format
    >>> rows(Parameter("w", (1000, 256), Format.FP32), 8), rows(Parameter("w", (3, 256), Format.FP32), 8)
    (32000, 256)
    """
    first = parameter.shape[0]
    return -(-first // n) * (parameter.count // first)


def pieces(parameter: Parameter, n: int) -> int:
    """ZeRO stage 3: values of one shard of the flattened tensor, ceil(values / n) [DeepSpeed 0.19.8,
    runtime/zero/partition_parameters.py: _partition_param, get_padding].

    >>> from memcalc.formats import Format
    >>> pieces(Parameter("w", (3, 256), Format.FP32), 7)
    110
    """
    return -(-parameter.count // n)


ALIGNMENT = 2
"""ZeRO stages 1 and 2 pad the flat buffer to a multiple of this times the ranks, in values [stage_1_and_2.py,
nccl_start_alignment_factor]."""


@dataclass(frozen=True, slots=True)
class Flat:
    """All trained tensors in one flat buffer: ``values`` in all (padded), ``share`` of one rank, and ``touched``: the
    values of all tensors of which any part lies in one rank's share, for the rank with the most."""

    values: int
    share: int
    touched: int


def flat(trained: Sequence[Parameter], n: int) -> Flat:
    """ZeRO stages 1 and 2: equal shares of the flat buffer, whatever tensors they cut
    [stage_1_and_2.py: flatten_dense_tensors_aligned, get_partition_info].

    >>> from memcalc.formats import Format
    >>> flat([Parameter("a", (10,), Format.FP32), Parameter("b", (9,), Format.FP32)], 2)
    Flat(values=20, share=10, touched=10)
    """
    total = sum(one.count * one.repeat for one in trained)
    unit = ALIGNMENT * n
    values = -(-total // unit) * unit
    share = values // n
    return Flat(values, share, _touched(trained, share))


def _touched(trained: Sequence[Parameter], share: int) -> int:
    """Walk the tensors in their order (repeated blocks in turn) and sum, share by share, those that reach into it."""
    counts: list[int] = []
    block: list[Parameter] = []
    for one in [*trained, None]:
        if block and (one is None or one.repeat != block[0].repeat):
            counts += [p.count for p in block] * block[0].repeat
            block = []
        if one is not None:
            block.append(one)
    most = current = start = 0
    limit = share
    for count in counts:
        current += count
        start += count
        while start >= limit:
            most = max(most, current)
            current = count if start > limit else 0
            limit += share
    return max(most, current)
