"""How many bytes a cached value takes in each format, scales included."""

from __future__ import annotations

from fractions import Fraction

from memcalc.quantisation.gguf_types import BLOCKS

GROUP = 64
"""Values that share a 16-bit scale and zero point in transformers' QuantizedCache [cache_utils.py: q_group_size]."""
RESIDUAL = 128
"""Newest tokens that QuantizedCache keeps unquantised, at most [cache_utils.py: residual_length]."""


def ggml(kind: str) -> Fraction:
    """Bytes a value in a GGML type: ``ggml("q8_0")`` is 34/32."""
    block, size = BLOCKS[kind.upper()]
    return Fraction(size, block)


def grouped(bits: int) -> Fraction:
    """Bytes a value in ``bits`` with a 16-bit scale and zero point for each group: ``grouped(4)`` is 0.5625."""
    return Fraction(bits, 8) + Fraction(4, GROUP)


def plain(size: int, cache: str) -> Fraction:
    """Bytes a value where the format has no scales of its own size: ``same`` (``size`` bytes), ``fp8``, ``int8``,
    ``int4``."""
    return {"same": Fraction(size), "static": Fraction(size), "fp8": Fraction(1), "int8": Fraction(1),
            "int4": Fraction(1, 2)}[cache]  # fmt: skip
