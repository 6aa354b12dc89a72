"""Quantised weights: exact bytes of every format that runtimes read.

``scheme_for(name)`` understands the scenario's ``inference.weights`` (all but ``gguf:``, whose mixtures decide tensor
by tensor: ``memcalc.quantisation.gguf``). ``CHOICES`` lists one spelling of each family for menus; bits, groups and
widths may be others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from memcalc.quantisation import bitsandbytes, exllama, floats, grouped
from memcalc.quantisation.gguf import ALIASES, BASES, IMATRIX, WITH_IMATRIX
from memcalc.quantisation.gguf_types import BLOCKS
from memcalc.quantisation.scheme import Scheme

SAME = "same"
"""As the checkpoint is: in the precision's format, unless it was published quantised."""
DEQUANTIZED = "dequantized"
"""A quantised checkpoint in the precision's format."""
_NAMED: dict[str, Scheme] = {
    "int8": bitsandbytes.INT8,
    **bitsandbytes.FOUR_BIT,
    **floats.FLOATS,
    **grouped.PER_ROW,
    "quanto-int4": grouped.QUANTO_INT4,
    "torchao-int4": grouped.torchao_int4(128),
}
_GROUPED: dict[str, Callable[[int, int], Scheme]] = {
    "gptq": grouped.gptq, "awq": grouped.awq, "hqq": grouped.hqq, "packed": grouped.packed_in_words,
    "packed-zeros": grouped.packed_with_zeros,
}  # fmt: skip
CHOICES = (
    SAME, DEQUANTIZED, "int8", "nf4", "nf4-dq", "fp4", "fp4-dq",
    "gptq-2bit-g128", "gptq-3bit-g128", "gptq-4bit-g128", "gptq-4bit-g32", "gptq-4bit-g-1", "gptq-8bit-g128",
    "awq-4bit-g128", "awq-4bit-g64",
    "fp8", "fp8-block", "fp8-channel", "int8-channel", "packed-4bit-g128", "mxfp8", "mxfp4", "nvfp4",
    "hqq-2bit-g16", "hqq-3bit-g64", "hqq-4bit-g64", "hqq-8bit-g64",
    "torchao-int4-g128", "torchao-int8", "torchao-float8", "quanto-int4", "quanto-int8", "quanto-float8",
    "eetq-int8", "exl2-3bpw", "exl2-4bpw", "exl2-5bpw", "exl2-6bpw", "exl3-2bpw", "exl3-3bpw", "exl3-4bpw",
    *(f"gguf:{one}" for one in BASES), *(f"gguf:{one}{IMATRIX}" for one in WITH_IMATRIX),
)  # fmt: skip


@lru_cache(maxsize=512)
def scheme_for(name: str) -> Scheme | None:
    """The scheme called ``name``; None for what is none (``same``, ``dequantized``, ``gguf:…``, anything unknown)."""
    if name in _NAMED:
        return _NAMED[name]
    found = re.fullmatch(r"(gptq|awq|hqq|packed)-(\d)-?bit-g(-1|\d{1,5})(-zeros)?", name)
    if found and (found[4] is None or found[1] == "packed"):
        kind, bits, group = found[1] + (found[4] or ""), int(found[2]), int(found[3])
        widths = (1, 2, 3, 4, 8) if kind == "hqq" else range(2, 9)
        if bits not in widths or group == 0 or (group < 0 and kind == "hqq"):
            return None
        return _GROUPED[kind](bits, group)
    found = re.fullmatch(r"torchao-int4-g(32|64|128|256)", name)
    if found:
        return grouped.torchao_int4(int(found[1]))
    found = re.fullmatch(r"exl([23])-(\d{1,2}(?:\.\d{1,3})?)bpw", name)
    if found and 1 <= float(found[2]) <= 8:
        return exllama.exl(int(found[1]), float(found[2]))
    return None


def mixture_of(name: str) -> str | None:
    """The GGUF mixture that ``gguf:NAME`` means (``gguf:IQ4_XS-imatrix``: with an importance matrix), or None."""
    if not name.startswith("gguf:"):
        return None
    mixture, ending = name[5:], ""
    if mixture.endswith(IMATRIX):
        mixture, ending = mixture.removesuffix(IMATRIX), IMATRIX
    mixture = ALIASES.get(mixture.upper(), mixture.upper())
    if ending and mixture not in WITH_IMATRIX:
        ending = ""
    return mixture + ending if mixture in BASES else None


def known(name: str) -> bool:
    """Whether ``inference.weights`` may be ``name``."""
    return name in (SAME, DEQUANTIZED) or scheme_for(name) is not None or mixture_of(name) is not None


__all__ = ["BLOCKS", "CHOICES", "DEQUANTIZED", "SAME", "Scheme", "known", "mixture_of", "scheme_for"]
