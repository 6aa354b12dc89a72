"""Catalogue models that differ in their size only: a family, ordered."""

from __future__ import annotations

import re
from functools import lru_cache

from memcalc.models import catalogue

_SIZE = re.compile(
    r"[-_ ](?:\d+(?:\.\d+)?[bm]\d*|\d+b\d+|tiny|mini|small|base|medium|large|xl|xxl)(?=$|[-_ ])", re.IGNORECASE
)

SIZES = tuple(
    step * 10**exponent // 10
    for exponent in range(8, 13)
    for step in (10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 80, 100)
    if step != 100 or exponent == 12
)
"""Numbers of parameters from 100 M to 10 T, for a decoder that is known by its size only."""


def family(name: str) -> str:
    """A model's name without its size.

    >>> family("Qwen2.5-Coder-7B"), family("bloom-7b1"), family("gpt2-medium")
    ('Qwen2.5-Coder', 'bloom', 'gpt2')
    """
    return _SIZE.sub("", name)


@lru_cache(maxsize=1)
def families() -> dict[str, tuple[str, ...]]:
    """The families of the catalogue with their members' names, from the smallest model up."""
    found: dict[str, list[str]] = {}
    for name in catalogue.names():
        found.setdefault(family(name), []).append(name)
    parameters = catalogue.entries()
    return {key: tuple(sorted(names, key=lambda name: parameters[name].parameters)) for key, names in found.items()}
