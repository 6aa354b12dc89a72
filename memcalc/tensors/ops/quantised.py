"""Products with quantised weights: what they take for a moment.

How a weight is stored is its scheme's business (``memcalc.quantisation``); here is what the kernels that compute with
it allocate. 4 bits: traced, with what the CUDA version makes put in (``memcalc.trace.four_bit``). The others: read in
the sources named below, not traced; the libraries' kernels need a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from memcalc.formats import Format
from memcalc.quantisation.bitsandbytes import BLOCK, FourBit
from memcalc.quantisation.scheme import Piece, Scheme
from memcalc.tensors.autograd import operator
from memcalc.tensors.ops.elementwise import Grads, add, fresh, to
from memcalc.tensors.tape import Size, Tape, rounded
from memcalc.tensors.tensor import Parameter, Tensor

AWQ_ROWS = 1024
"""From this many rows of input on AutoAWQ dequantises the whole weight [awq/modules/linear/gemm.py]."""
AWQ_SPLITS = 8
"""Below, its kernel adds up partial results of this many parts of the sum [gemm_forward_cuda, split_k_iters]."""

BNB_FUSED_ROWS = 4
"""Up to this many rows bitsandbytes' fused kernel takes the packed weight on every card; above, that depends on card
and sizes, and all but small matrices are dequantised [backends/cuda/ops.py, _gemm_4bit_use_custom_cuda]."""

GPTQ_ROWS = 128
"""From this many rows of input on AutoGPTQ's kernel for 2, 3 and 8 bits dequantises the whole weight
[nn_modules/qlinear/qlinear_cuda_old.py: kernel_switch_threshold]."""


class QuantisedParameter(Parameter):
    """A frozen weight stored as ``pieces`` (``scheme``'s) and computed with in ``fmt``."""

    __slots__ = ("pieces", "scheme")

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        fmt: Format,
        repeat: int,
        scheme: Scheme,
        pieces: tuple[Piece, ...],
        transposed: bool = False,
    ) -> None:
        super().__init__(name, shape, fmt, repeat, trainable=False, transposed=transposed)
        self.scheme = scheme
        self.pieces = pieces

    def bytes(self, fmt: Format | None = None) -> int:
        """Its pieces, each rounded as the allocator does."""
        return int(sum(rounded(one.bytes) for one in self.pieces))

    @property
    def outputs(self) -> int:
        """Values of a result's row."""
        return self.shape[1] if self.transposed else self.shape[0]


def dequantised(tape: Tape, weight: QuantisedParameter) -> Tensor:
    """The weight in its compute format, for a moment; doubly quantised scales become fp32 first [dequantize_4bit]."""
    absmax = _plain_absmax(tape, weight)
    found = fresh(tape, weight.shape, weight.format, "dequantised weight")
    del absmax
    return found


def _plain_absmax(tape: Tape, weight: QuantisedParameter) -> Tensor | None:
    """The scales in fp32, where they are quantised themselves."""
    if not (isinstance(weight.scheme, FourBit) and weight.scheme.nested):
        return None
    return fresh(tape, (-(-weight.count // BLOCK),), Format.FP32, "absmax")


def scratch_bytes(parameters: Iterable[Parameter]) -> int:
    """The buffer that ExLlama's kernel keeps for the largest quantised matrix, in 16 bits
    [AutoGPTQ qlinear_exllamav2.py: temp_dq_size]."""
    held = [one.count for one in parameters if isinstance(one, QuantisedParameter) and one.scheme.scratch]
    return int(rounded(2 * max(held) + 128)) if held else 0


def linear_quantised(x: Tensor, weight: QuantisedParameter, bias: Parameter | None) -> Tensor:
    """A linear layer with a quantised weight: x is cast to the compute format, what the kernel needs lives for the
    product, and the result is cast back to x's format."""
    origin, fmt = x.format, weight.format
    kind = weight.scheme.product
    if kind == "bnb int8":
        return _int8(x, weight, bias)
    x = to(x, fmt)
    if kind == "bnb 4-bit":
        out = _four_bit(x, weight)
    else:
        held = _HELD[kind](x, weight)
        out = fresh(x.tape, (*x.shape[:-1], weight.outputs), fmt, "mm (quantised)")
        del held
    if bias is not None:
        out = add(out, bias, in_place=True)
    return to(out, origin)


def _four_bit(x: Tensor, weight: QuantisedParameter) -> Tensor:
    """bitsandbytes' Linear4bit: the weight is dequantised for the product and dropped, and again in backward; nothing
    but the packed weight is kept, outside autograd's saved tensors [bitsandbytes 0.50 autograd/_functions.py:
    MatMul4Bit]. A few rows go through a kernel that reads the packed weight."""
    tape, fmt, shape = x.tape, weight.format, x.shape

    def backward(grad: Tensor) -> Grads:
        whole = dequantised(tape, weight)
        grads: Grads = [fresh(tape, shape, fmt, "mm (input gradient)")]
        del whole
        return grads

    held = _four_bit_whole(x, weight)
    out = operator(tape, "mm (4 bits)", (x,), (*shape[:-1], weight.outputs), fmt, backward)
    del held
    return out


def _four_bit_whole(x: Tensor, weight: QuantisedParameter) -> list[Tensor]:
    """What the forward product makes beside its result: the whole weight, and its scales in fp32, twice where they are
    quantised (before and after their offset is added) [backends/cuda/ops.py, _dequant_linear_fallback]."""
    rows = _rows(x)
    plain = weight.count // weight.outputs % BLOCK == 0
    few = plain & (rows <= BNB_FUSED_ROWS)

    def needed(count: int) -> tuple[Size]:
        return (np.where(few, 0, count) if isinstance(rows, np.ndarray) else count * (not few),)

    held: list[Tensor] = []
    if isinstance(weight.scheme, FourBit) and weight.scheme.nested:
        blocks = needed(-(-weight.count // BLOCK))
        held = [fresh(x.tape, blocks, Format.FP32, "absmax") for _ in range(2)]
    return [*held, fresh(x.tape, needed(weight.count), weight.format, "dequantised weight")]


def _rows(x: Tensor) -> Size:
    rows: Size = 1
    for dim in x.shape[:-1]:
        rows = rows * dim
    return rows


def _int8(x: Tensor, weight: QuantisedParameter, bias: Parameter | None) -> Tensor:
    """bitsandbytes' Linear8bitLt: an fp16 copy of the input, quantised row by row and searched for outliers; an int32
    product, scaled to fp16 and cast to the input's format while it is still there. The outlier columns themselves are
    few and not counted [bitsandbytes 0.50 autograd/_functions.py: MatMul8bitLt.forward; backends/cuda/ops.py:
    int8_vectorwise_quant, int8_mm_dequant; backends/default/ops.py: int8_scaled_mm]."""
    tape, origin = x.tape, x.format
    half = to(x, Format.FP16)
    rows = fresh(tape, half.shape[:-1], Format.FP32, "row scales")
    small = fresh(tape, half.shape, Format.UINT8, "int8 input")
    magnitude = fresh(tape, half.shape, Format.FP16, "abs (outliers)")
    outliers = fresh(tape, half.shape, Format.BOOL, "outliers")
    del magnitude, outliers, half
    shape = (*x.shape[:-1], weight.outputs)
    product = fresh(tape, shape, Format.INT32, "int32 product")
    out = fresh(tape, shape, Format.FP16, "mm (int8)")
    if bias is not None:
        out = add(out, bias, in_place=True)
    out = to(out, origin)
    del product, small, rows
    return out


def _direct(x: Tensor, weight: QuantisedParameter) -> list[Tensor]:
    return []


def _dequantised(x: Tensor, weight: QuantisedParameter) -> list[Tensor]:
    return [fresh(x.tape, weight.shape, weight.format, "dequantised weight")]


def _dequantised_twice(x: Tensor, weight: QuantisedParameter) -> list[Tensor]:
    """HQQ's PyTorch back end: the unpacked values, and the scaled ones made of them [core/quantize.py: dequantize]."""
    return [*_dequantised(x, weight), *_dequantised(x, weight)]


def _awq(x: Tensor, weight: QuantisedParameter) -> list[Tensor]:
    return _from_rows(x, weight, AWQ_ROWS, AWQ_SPLITS)


def _gptq(x: Tensor, weight: QuantisedParameter) -> list[Tensor]:
    """AutoGPTQ's kernel for other widths than 4 bits: a short input is multiplied as it is, into an fp32 result."""
    return _from_rows(x, weight, GPTQ_ROWS, 2)


def _from_rows(x: Tensor, weight: QuantisedParameter, least: int, results: int) -> list[Tensor]:
    """The whole weight from ``least`` rows of input on; fewer need ``results`` times the result's size."""
    rows = _rows(x)
    few = results * rows * weight.outputs
    if isinstance(rows, np.ndarray):
        count: Size = np.where(rows >= least, weight.count, few)
    else:
        count = weight.count if rows >= least else few
    return [fresh(x.tape, (count,), weight.format, "dequantised weight")]


def _fp8(x: Tensor, weight: QuantisedParameter) -> list[Tensor]:
    """The input in one byte a value, with a scale a row."""
    return [
        fresh(x.tape, x.shape, Format.UINT8, "fp8 input"),
        fresh(x.tape, x.shape[:-1], Format.FP32, "row scales"),
    ]


_HELD = {
    "direct": _direct,
    "dequantise": _dequantised,
    "dequantise twice": _dequantised_twice,
    "awq": _awq,
    "gptq": _gptq,
    "fp8": _fp8,
}
