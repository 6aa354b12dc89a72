"""What a reader writes as an answer, read; and an answer as it is shown."""

from __future__ import annotations

import math
import re
from typing import Final

from memcalc import units
from memcalc.learn.exercises.exercise import Asked

LONGEST: Final = 60
"""Characters of an answer; more is no number."""
_NUMBER: Final = re.compile(
    r"(?:about|circa|ca\.?|~|≈|=)?\s*"
    r"(?P<sign>[-−–]?)\s*(?P<digits>[0-9][0-9.,_'’  ]*|\.[0-9]+)"
    r"(?:\s*(?:e|[x×*·]\s*10\s*(?:\^|\*\*)?)\s*(?P<power>[-+−]?[0-9]{1,3}))?"
    r"\s*(?P<unit>[^\d\s].*|)",
    re.IGNORECASE,
)
_SIZES: Final = {
    **{name.casefold(): factor for factor, name in (
        (1, "B"), (1000, "kB"), (1000**2, "MB"), (units.GB, "GB"), (1000**4, "TB"), (1000**5, "PB"),
        (units.KiB, "KiB"), (units.MiB, "MiB"), (units.GiB, "GiB"), (1024**4, "TiB"), (1024**5, "PiB"),
    )},
    "byte": 1, "bytes": 1,
}  # fmt: skip
_COUNTS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12, "million": 10**6,
                  "millions": 10**6, "billion": 10**9, "billions": 10**9, "thousand": 10**3}  # fmt: skip
_BITS: Final = re.compile(r"[kmgt]?i?bits?", re.IGNORECASE)


def read(asked: Asked, text: str) -> float:
    """An answer in the measure of the task (bytes, a number, per cent); ValueError with what to write instead.

    >>> read(Asked("size", "GiB"), "15 GiB"), read(Asked("size", "GiB"), "14e9 bytes")
    (16106127360.0, 14000000000.0)
    """
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if found is None:
        raise ValueError(f"Write a number, such as {example(asked)}.")
    if found["sign"]:
        raise ValueError("Nothing here is below zero.")
    value = _number(found["digits"])
    if found["power"]:
        value *= float("1e" + found["power"].replace("−", "-"))
    value *= _factor(asked, " ".join(found["unit"].split()))
    if not math.isfinite(value) or value > 1e24:
        raise ValueError("That is more than all the memory there is.")
    if value == 0:
        raise ValueError("Zero is no estimate: write a number above it.")
    if asked.kind == "whole" and value != round(value):
        raise ValueError(f"A whole number of {asked.unit}, please.")
    return value


def _number(digits: str) -> float:
    """Digits with a decimal point or comma, or with marks between thousands."""
    bare = re.sub(r"[_'’  ]", "", digits)
    marks = re.sub(r"[0-9]", "", bare)
    if re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{3}){2,}(?:\.[0-9]*)?", bare) or ("," in bare and marks.endswith(".")):
        bare = bare.replace(",", "")
    elif re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{3}){2,}", bare):
        bare = bare.replace(".", "")
    elif re.fullmatch(r"[1-9][0-9]{0,2},[0-9]{3}", bare):
        plain = bare.replace(",", "")
        raise ValueError(f"“{bare}” can be read in two ways: write {plain} or {bare.replace(',', '.')}.")
    else:
        bare = bare.replace(",", ".")
    try:
        return float(bare)
    except ValueError:
        raise ValueError(f"“{digits.strip()[:20]}” is no number: one decimal point is enough.") from None


def _factor(asked: Asked, unit: str) -> float:
    """What one of ``unit`` is in the measure of the task."""
    plain = unit.casefold().strip(" .")
    if asked.kind == "size":
        if plain == "":
            return _SIZES[asked.unit.casefold()]
        if plain in _SIZES:
            return _SIZES[plain]
        if _BITS.fullmatch(plain):
            raise ValueError("A size in bytes is asked for: 8 bits are one byte.")
        raise ValueError(f"“{unit[:20]}” is no unit of memory: write GiB, GB, MiB, MB or bytes.")
    word = plain.removesuffix(asked.unit.casefold()).strip() if asked.unit else plain
    word = word.removesuffix(asked.unit.casefold().removesuffix("s")).strip() if asked.unit else word
    if word == "" or (asked.kind == "percent" and word in ("percent", "per cent", "less")):
        return 1
    if asked.kind in ("number", "whole") and word in _COUNTS:
        return _COUNTS[word]
    raise ValueError(
        f"“{unit[:20]}” is not understood: a number of {asked.unit} is asked for, such as {example(asked)}."
    )


def example(asked: Asked) -> str:
    """How an answer may be written; never the answer itself."""
    return {
        "size": "1.5 GiB, 800 MB or 2e9 bytes",
        "number": "4.25" if asked.unit.startswith("bits") else "3.5 million or 3500000",
        "whole": "12",
        "percent": "42 %",
        "choice": "one of the choices",
    }[asked.kind]


def shown(asked: Asked, value: float) -> str:
    """An answer for a reader: ``15.0 GiB (16.1 GB)``, ``6.82 million parameters``, ``4.5 bits``, ``90 %``."""
    if asked.kind == "size":
        return units.both(value)
    if asked.kind == "choice":
        return asked.choices[int(value)]
    if asked.kind == "percent":
        return f"{value:.0f} %"
    if asked.kind == "whole":
        return f"{value:,.0f} {asked.unit}"
    number = units.count(value) if value >= 1000 else f"{value:.4g}"
    return f"{number} {asked.unit}"
