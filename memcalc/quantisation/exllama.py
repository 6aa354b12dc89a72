"""EXL2 and EXL3: ExLlama's formats, named by their bits a weight.

EXL2's figure includes group scales (4 bits) and a maximum a group; a permutation of the inputs comes on top. EXL3 is a
trellis of exactly K bits a weight and one fp16 for each input and each output. Both quantise the head, at 6 bits unless
told otherwise [exllamav2 conversion/adaptivegptq.py; exllamav3 modules/quant/exl3.py].
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.quantisation.scheme import Piece, Scheme, packed, values

HEAD_BITS = 6.0
"""Bits of the head where nothing is said: ExLlama's usual choice (assumed)."""


@dataclass(frozen=True, slots=True)
class Exl(Scheme):
    """``generation`` 2 or 3 at ``bits_per_weight``."""

    generation: int = 2
    bits_per_weight: float = 4.0

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        return self._at(inputs, outputs, self.bits_per_weight)

    def head_pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        return self._at(inputs, outputs, HEAD_BITS)

    def _at(self, inputs: int, outputs: int, bits: float) -> tuple[Piece, ...]:
        body = packed(inputs * outputs, bits, "trellis" if self.generation == 3 else "packed values and scales")
        if self.generation == 3:
            return body, values("suh", inputs, 2), values("svh", outputs, 2)
        return body, values("q_perm", inputs, 2)


def exl(generation: int, bits: float) -> Exl:
    """``exl2-4.25bpw``, ``exl3-3bpw``."""
    return Exl(
        f"exl{generation}-{bits:g}bpw", f"EXL{generation} at {bits:g} bits",
        "exllamav2 conversion/adaptivegptq.py" if generation == 2 else "exllamav3 modules/quant/exl3.py",
        generation=generation, bits_per_weight=bits,
    )  # fmt: skip
