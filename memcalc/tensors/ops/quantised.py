"""Weights in four bits: what they take, and products with them [bitsandbytes functional.py, autograd/_functions.py].

NF4: two values a byte over the flattened weight, one fp32 ``absmax`` for each block of 64. Doubly quantised: the absmax
themselves in one byte each, with one fp32 for each 256 of them and an fp32 offset [quantize_4bit, compress_statistics].
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.formats import Format
from memcalc.tensors.autograd import operator
from memcalc.tensors.ops.elementwise import Grads, add, fresh, to
from memcalc.tensors.tape import Tape, rounded
from memcalc.tensors.tensor import Parameter, Tensor

BLOCK = 64
"""Values that share one absmax (``blocksize``, bitsandbytes' default on NVIDIA cards)."""
NESTED_BLOCK = 256
"""absmax values that share one absmax of their own."""


class QuantisedParameter(Parameter):
    """A frozen weight in four bits, computed with in ``fmt``. ``nested``: doubly quantised."""

    __slots__ = ("nested",)

    def __init__(self, name: str, shape: Sequence[int], fmt: Format, repeat: int, nested: bool) -> None:
        super().__init__(name, shape, fmt, repeat, trainable=False)
        self.nested = nested

    def bytes(self, fmt: Format | None = None) -> int:
        """Packed values, absmax and the code tables of each weight (16 and, if nested, 256 fp32 values).

        >>> QuantisedParameter("w", (4096, 4096), Format.BF16, 1, False).bytes()   # 8 MiB, 1 MiB and 512 B
        9437696
        """
        blocks = -(-self.count // BLOCK)
        packed: int = rounded(-(-self.count // 2)) + rounded(16 * 4)
        if not self.nested:
            return packed + int(rounded(blocks * 4))
        outer = -(-blocks // NESTED_BLOCK)
        return packed + int(rounded(blocks) + rounded(outer * 4) + rounded(4) + rounded(256 * 4))


def dequantised(tape: Tape, weight: QuantisedParameter) -> Tensor:
    """The weight in its compute format, for a moment; doubly quantised scales become fp32 first [dequantize_4bit]."""
    blocks = -(-weight.count // BLOCK)
    absmax = fresh(tape, (blocks,), Format.FP32, "absmax") if weight.nested else None
    found = fresh(tape, weight.shape, weight.format, "dequantised weight")
    del absmax
    return found


def linear_4bit(x: Tensor, weight: QuantisedParameter, bias: Parameter | None) -> Tensor:
    """bitsandbytes' Linear4bit: x is cast to the compute format, the weight dequantised for the product and dropped,
    and the result cast back to x's format. Backward dequantises again; nothing but the packed weight is kept."""
    tape, origin, fmt = x.tape, x.format, weight.format
    x = to(x, fmt)
    shape, w_shape = x.shape, weight.shape

    def backward(grad: Tensor) -> Grads:
        whole = dequantised(tape, weight)
        grads: Grads = [fresh(tape, shape, fmt, "mm (input gradient)")]
        del whole
        return grads

    whole = dequantised(tape, weight)
    out = operator(tape, "mm (4 bits)", (x,), (*shape[:-1], w_shape[0]), fmt, backward, weights=[weight])
    del whole
    if bias is not None:
        out = add(out, bias, in_place=True)
    return to(out, origin)
