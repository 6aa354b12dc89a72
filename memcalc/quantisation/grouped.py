"""Integer weights in groups with a scale and a zero point: GPTQ, AWQ, HQQ, torchao and quanto."""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.quantisation.scheme import Piece, Scheme, packed, values


def _groups(inputs: int, group: int) -> int:
    """Groups along a column of ``inputs`` values; ``group`` -1 is the whole column."""
    return 1 if group < 0 else -(-inputs // group)


def _in_words(count: int, bits: int) -> int:
    """Rows of int32 that hold ``count`` values of ``bits`` (3 bits: 32 values in 3 words)."""
    return -(-count * bits // 32)


@dataclass(frozen=True, slots=True)
class Gptq(Scheme):
    """GPTQ and AWQ as int32 words: qweight, qzeros, fp16 scales; GPTQ also the group of each input (g_idx).

    K inputs, M outputs, B bits, group g: K·B/32 × M words, ⌈K/g⌉ × M·B/32 words, ⌈K/g⌉ × M fp16, K int32.
    """

    width: int = 4
    group: int = 128
    order: bool = True

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> round(gptq(4, 128).bits(4096, 4096), 3)     # 4 + 20/128 + 32/4096
        4.164
        """
        groups, bits = _groups(inputs, self.group), self.width
        found = (
            values("qweight", _in_words(inputs, bits) * outputs, 4),
            values("qzeros", groups * _in_words(outputs, bits), 4),
            values("scales", groups * outputs, 2),
        )
        return (*found, values("g_idx", inputs, 4)) if self.order else found


@dataclass(frozen=True, slots=True)
class Hqq(Scheme):
    """HQQ: packed values (3 bits: ten to an int32), scale and zero point of each group in the compute format."""

    width: int = 4
    group: int = 64

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> hqq(4, 64).bits(4096, 4096)
        4.5
        """
        count = inputs * outputs
        groups = -(-count // self.group)
        body = values("packed values", -(-count // 10), 4) if self.width == 3 else packed(count, self.width)
        return body, values("scale", groups, 2), values("zero", groups, 2)


@dataclass(frozen=True, slots=True)
class TorchaoInt4(Scheme):
    """torchao's int4 weight-only in tinygemm's layout: inputs padded to 1024, outputs to 8; bf16 scale and zero."""

    group: int = 128

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> torchao_int4(128).bits(4096, 4096)
        4.25
        """
        k, n = -(-inputs // 1024) * 1024, -(-outputs // 8) * 8
        return packed(k * n, 4), values("scale and zero", -(-k // self.group) * n * 2, 2)


@dataclass(frozen=True, slots=True)
class PerRow(Scheme):
    """One byte a value (int8 or fp8) and one scale of ``scale`` bytes for each output."""

    scale: int = 2

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        return packed(inputs * outputs, 8), values("scale", outputs, self.scale)


@dataclass(frozen=True, slots=True)
class Packed(Scheme):
    """compressed-tensors' ``pack-quantized``: as many values as go into an int32, a 16-bit scale a group, the shape as
    two int64; with ``zeros`` a zero point a group, packed along the outputs [compressed-tensors
    compressors/quantized_compressors/pack_quantized.py]."""

    width: int = 4
    group: int = 128
    zeros: bool = False

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        """
        >>> round(packed_in_words(4, 128).bits(4096, 4096), 4)      # 4 + 16/128
        4.125
        """
        fit, groups = 32 // self.width, _groups(inputs, self.group)
        found = (
            values("weight_packed", -(-inputs // fit) * outputs, 4),
            values("weight_scale", groups * outputs, 2),
            values("weight_shape", 2, 8),
        )
        return (*found, values("weight_zero_point", groups * -(-outputs // fit), 4)) if self.zeros else found


@dataclass(frozen=True, slots=True)
class QuantoInt4(Scheme):
    """quanto's qint4: groups of 128 along the inputs with a 16-bit scale and shift each."""

    def pieces(self, inputs: int, outputs: int) -> tuple[Piece, ...]:
        groups = -(-inputs * outputs // 128)
        return packed(inputs * outputs, 4), values("scale", groups, 2), values("shift", groups, 2)


def gptq(bits: int, group: int) -> Gptq:
    """``gptq-4bit-g128``; group -1 is a scale for a whole column. 4 bits run in ExLlama's kernel, which keeps a buffer
    for the largest matrix in 16 bits; other widths are dequantised for long prompts."""
    size = "" if group < 0 else f", groups of {group}"
    return Gptq(
        f"gptq-{bits}bit-g{group}", f"GPTQ {bits} bits{size}", "AutoGPTQ nn_modules/qlinear/qlinear_exllamav2.py",
        "direct" if bits == 4 else "gptq", bits == 4, bits, group,
    )  # fmt: skip


def awq(bits: int, group: int) -> Gptq:
    """``awq-4bit-g128``."""
    return Gptq(
        f"awq-{bits}bit-g{group}", f"AWQ {bits} bits, groups of {group}", "AutoAWQ awq/modules/linear/gemm.py", "awq",
        False, bits, group, order=False,
    )  # fmt: skip


def packed_in_words(bits: int, group: int, zeros: bool = False) -> Packed:
    """``packed-4bit-g128``, or ``packed-4bit-g128-zeros``; group -1 is a scale for a whole row."""
    size = "" if group < 0 else f", groups of {group}"
    return Packed(
        f"packed-{bits}bit-g{group}{'-zeros' if zeros else ''}",
        f"packed int{bits}{size}{' with zero points' if zeros else ''} (compressed-tensors)",
        "compressed-tensors compressors/quantized_compressors/pack_quantized.py", "direct", False, bits, group, zeros,
    )  # fmt: skip


def packed_with_zeros(bits: int, group: int) -> Packed:
    """``packed-4bit-g128-zeros``."""
    return packed_in_words(bits, group, True)


def hqq(bits: int, group: int) -> Hqq:
    """``hqq-4bit-g64``."""
    return Hqq(
        f"hqq-{bits}bit-g{group}", f"HQQ {bits} bits, groups of {group}", "hqq 0.2.8 core/quantize.py, core/bitpack.py",
        "dequantise twice", False, bits, group,
    )  # fmt: skip


def torchao_int4(group: int) -> TorchaoInt4:
    """``torchao-int4-g128``."""
    return TorchaoInt4(
        f"torchao-int4-g{group}", f"torchao int4, groups of {group}",
        "torchao 0.18 quantization/quant_api.py; tinygemm's layout", "direct", False, group,
    )  # fmt: skip


PER_ROW = {
    "torchao-int8": PerRow("torchao-int8", "torchao int8", "torchao 0.18 quantization/quant_api.py", "dequantise"),
    "torchao-float8": PerRow("torchao-float8", "torchao float8", "torchao 0.18 quantization/quant_api.py", "fp8",
                             scale=4),
    "fp8-channel": PerRow("fp8-channel", "FP8, a scale an output",
                          "vLLM model_executor/layers/quantization/compressed_tensors", "fp8", scale=4),
    "int8-channel": PerRow("int8-channel", "int8, a scale an output",
                           "vLLM model_executor/layers/quantization/compressed_tensors", "fp8", scale=4),
    "eetq-int8": PerRow("eetq-int8", "EETQ int8", "transformers integrations/eetq.py: EetqLinear"),
    "quanto-int8": PerRow("quanto-int8", "quanto int8", "optimum-quanto tensor/weights/qbytes.py", "dequantise"),
    "quanto-float8": PerRow("quanto-float8", "quanto float8", "optimum-quanto tensor/weights/qbytes.py", "dequantise"),
}  # fmt: skip
QUANTO_INT4 = QuantoInt4("quanto-int4", "quanto int4", "optimum-quanto tensor/weights/qbits.py", "dequantise")
