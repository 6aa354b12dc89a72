"""bitsandbytes: LLM.int8 and the 4-bit formats NF4 and FP4, with and without double quantisation.

4 bits: two values a byte over the flattened weight, one fp32 ``absmax`` for each block of 64. Doubly quantised: the
absmax in one byte each, with one fp32 for each 256 of them and an fp32 offset [bitsandbytes functional.py:
quantize_4bit, compress_statistics]. 8 bits: one byte a value and one fp32 a row [nn/modules.py: Int8Params].
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.quantisation.scheme import Piece, Scheme, packed, values

BLOCK = 64
"""Values that share one absmax (``blocksize``, the default on NVIDIA cards)."""
NESTED_BLOCK = 256
"""absmax values that share one absmax of their own."""


@dataclass(frozen=True, slots=True)
class FourBit(Scheme):
    """NF4 or FP4; ``nested``: doubly quantised."""

    nested: bool = False

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> [one.bytes for one in FOUR_BIT["nf4"].pieces(4096, 4096)]   # 8 MiB, 16 fp32 codes, 1 MiB
        [8388608, 64, 1048576]
        """
        count = inputs * outputs
        blocks = -(-count // BLOCK)
        found = (packed(count, 4), values("code table", 16, 4))
        if not self.nested:
            return (*found, values("absmax", blocks, 4))
        return (
            *found,
            values("absmax", blocks, 1),
            values("absmax of absmax", -(-blocks // NESTED_BLOCK), 4),
            values("offset", 1, 4),
            values("code table of absmax", 256, 4),
        )


@dataclass(frozen=True, slots=True)
class Int8(Scheme):
    """LLM.int8: vectorwise quantisation, with outlier columns in 16 bits for the moment of the product."""

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> round(INT8.bits(4096, 4096), 3)
        8.008
        """
        return packed(inputs * outputs, 8), values("SCB", outputs, 4)


_SOURCE = "bitsandbytes functional.py (quantize_4bit), nn/modules.py (Linear4bit)"
FOUR_BIT = {
    f"{kind}{'-dq' if nested else ''}": FourBit(
        f"{kind}{'-dq' if nested else ''}",
        f"{kind.upper()}{' doubly quantised' if nested else ''} (bitsandbytes)",
        _SOURCE,
        "bnb 4-bit",
        nested=nested,
    )
    for kind in ("nf4", "fp4")
    for nested in (False, True)
}
INT8 = Int8("int8", "LLM.int8 (bitsandbytes)", "bitsandbytes nn/modules.py (Linear8bitLt)", "bnb int8")
