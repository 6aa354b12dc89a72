"""Floating-point formats of 8 and 4 bits: FP8 per tensor and per block, MXFP8, MXFP4, NVFP4."""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.quantisation.scheme import Piece, Scheme, packed, values


@dataclass(frozen=True, slots=True)
class Fp8(Scheme):
    """One byte a value; one fp32 scale for the whole matrix, or for each square of ``block``."""

    block: int = 0

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> round(FLOATS["fp8-block"].bits(4096, 4096), 3)
        8.002
        """
        scales = 1 if not self.block else -(-inputs // self.block) * -(-outputs // self.block)
        return packed(inputs * outputs, 8), values("scale", scales, 4)


@dataclass(frozen=True, slots=True)
class Shared(Scheme):
    """``width`` bits a value and one byte of scale for each ``group`` values of a row; ``tensor`` fp32 scales more for
    the whole matrix (NVFP4: of weight and input)."""

    width: int = 4
    group: int = 32
    tensor: int = 0

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> FLOATS["mxfp4"].bits(4096, 4096)
        4.25
        """
        found = (packed(inputs * outputs, self.width), values("scale", -(-inputs // self.group) * outputs, 1))
        return (*found, values("global scale", self.tensor, 4)) if self.tensor else found


FLOATS = {
    "fp8": Fp8("fp8", "FP8, a scale a tensor", "vLLM model_executor/layers/quantization/fp8.py", "fp8"),
    "fp8-block": Fp8("fp8-block", "FP8, a scale a block of 128 × 128", "transformers integrations/finegrained_fp8.py",
                     "fp8", block=128),
    "mxfp8": Shared("mxfp8", "MXFP8", "OCP microscaling formats 1.0", "fp8", width=8),
    "mxfp4": Shared("mxfp4", "MXFP4", "OCP microscaling formats 1.0"),
    "nvfp4": Shared("nvfp4", "NVFP4", "vLLM model_executor/layers/quantization/modelopt.py", group=16, tensor=2),
}  # fmt: skip
