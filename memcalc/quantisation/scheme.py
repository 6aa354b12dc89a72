"""How a weight is stored, and how a product with it is computed. One ``Scheme`` for each way.

A scheme looks at one matrix (inputs, outputs) at a time and says which tensors replace it. Which matrices are
quantised at all is the model's business: embeddings, norms and biases stay as they are in all of these, and the output
head in all that have no ``head_pieces``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Product = Literal["direct", "dequantise", "dequantise twice", "bnb 4-bit", "bnb int8", "awq", "gptq", "fp8"]
"""What a product with the weight needs for a moment (``memcalc.tensors.ops.quantised``)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One tensor that a quantised matrix is made of: its name, bytes, and the arithmetic in words."""

    name: str
    bytes: int
    formula: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """Base of all schemes.

    ``name`` is the scenario's word; ``label`` what people call it; ``source`` where the rule was read; ``product``
    how it is computed with; ``scratch``: a buffer of 2 bytes a value for the largest matrix stays (ExLlama's).
    """

    name: str
    label: str
    source: str
    product: Product = "direct"
    scratch: bool = False

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """The tensors that replace a matrix of ``inputs`` times ``outputs`` values."""
        raise NotImplementedError

    def head_pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...] | None:
        """The same for the output head; None: it stays in the model's format."""
        return None

    def bits(self, inputs: int, outputs: int) -> float:
        """Bits a weight takes on average in a matrix of that shape, everything included."""
        return 8 * sum(one.bytes for one in self.pieces(inputs, outputs)) / (inputs * outputs)


def packed(count: int, bits: float, name: str = "packed values") -> Piece:
    """``count`` values of ``bits`` each, packed without gaps."""
    return Piece(name, -(-round(count * bits) // 8), f"{count:,} × {bits:g} bits")


def values(name: str, count: int, size: int) -> Piece:
    """``count`` values of ``size`` bytes."""
    return Piece(name, count * size, f"{count:,} × {size} B")
