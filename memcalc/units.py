"""Bytes are integers everywhere inside; this is the only place that turns them into words.

Binary units (KiB, MiB, GiB: powers of 1024) come first, as drivers and frameworks count them;
decimal GB (powers of 1000, as cards are sold) only beside them.
"""

from __future__ import annotations

import math
import re

KiB = 1024
MiB = 1024**2
GiB = 1024**3
GB = 1000**3

_BINARY = ((1024**5, "PiB"), (1024**4, "TiB"), (GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB"))
_DECIMAL = ((1000**5, "PB"), (1000**4, "TB"), (GB, "GB"), (1000**2, "MB"), (1000, "kB"))


def _digits(value: float) -> str:
    """Three significant digits, never in exponent form: 0.9786 -> '0.979', 1.234 -> '1.23', 12.34 -> '12.3'."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.9995 else f"{value:.3f}"


def _scaled(size: float, steps: tuple[tuple[int, str], ...]) -> str:
    for factor, name in steps:
        # 0.9995 of a unit already rounds to 1.00 of it; and 1,000 MiB would be a fourth digit: it is 0.977 GiB.
        least = 999.5 / 1024 if factor % 1024 == 0 and factor > KiB else 0.9995
        if abs(size) >= factor * least:
            return f"{_digits(size / factor)} {name}"
    return f"{size:,.0f} B"


def binary(size: float) -> str:
    """``size`` bytes for a reader, in the largest binary unit that fits: ``binary(17179869184) == '16.0 GiB'``."""
    return _scaled(size, _BINARY)


def decimal(size: float) -> str:
    """``size`` bytes in decimal units, as on a card's box: ``decimal(17179869184) == '17.2 GB'``."""
    return _scaled(size, _DECIMAL)


def both(size: float) -> str:
    """``size`` bytes in both kinds of units, for hovering: ``both(17179869184) == '16.0 GiB (17.2 GB)'``."""
    return f"{binary(size)} ({decimal(size)})"


def gib(size: float) -> float:
    """``size`` bytes as a number of GiB, for axes."""
    return size / GiB


def count(value: float) -> str:
    """A number of parameters in words, since a B for billions would be read as bytes:
    ``count(8030261248) == '8.03 billion'``, ``count(124439808) == '124 million'``."""
    for factor, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if abs(value) >= factor * 0.9995:
            return f"{_digits(value / factor)} {name}"
    return f"{value:,.0f}"


_FACTORS = {name.casefold(): factor for factor, name in (*_BINARY, *_DECIMAL, (1, "B"))}
_WRITTEN = re.compile(r"\s{0,8}(\d{1,18}(?:[.,]\d{1,9})?)\s{0,8}([a-z]{0,3})\s{0,8}", re.IGNORECASE)


def parse_bytes(text: str, unit: str = "GiB") -> int:
    """A size as people write it, in bytes; a number alone is in ``unit``. ValueError says how to write it.

    >>> parse_bytes("1.5 GiB"), parse_bytes("800MB"), parse_bytes("2")
    (1610612736, 800000000, 2147483648)
    """
    match = _WRITTEN.fullmatch(text)
    factor = _FACTORS.get((match[2] or unit).casefold()) if match else None
    if match is None or factor is None:
        raise ValueError("Write a size such as 11.2 GiB, 11500 MiB or 12 GB.")
    size = float(match[1].replace(",", ".")) * factor
    if not math.isfinite(size) or size > 2**50:
        raise ValueError("More than a PiB is no memory of one card.")
    return round(size)
