"""GGUF's block types: how many values share a block, and its bytes [gguf 0.19 constants.py: GGML_QUANT_SIZES;
ggml/src/ggml-common.h]."""

from __future__ import annotations

BLOCKS: dict[str, tuple[int, int]] = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2),
    "Q1_0": (128, 18), "Q2_0": (64, 18),
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
    "Q8_K": (256, 292),
    "IQ1_S": (256, 50), "IQ1_M": (256, 56), "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74), "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98), "IQ3_S": (256, 110), "IQ4_NL": (32, 18), "IQ4_XS": (256, 136),
    "TQ1_0": (256, 54), "TQ2_0": (256, 66), "MXFP4": (32, 17), "NVFP4": (64, 36),
}  # fmt: skip
"""Type: (values a block, bytes a block)."""

_FALLBACK = {
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "TQ1_0": "Q4_0", "TQ2_0": "Q4_0",
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
    "IQ1_S": "IQ4_NL", "IQ1_M": "IQ4_NL", "IQ2_XXS": "IQ4_NL", "IQ2_XS": "IQ4_NL", "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL", "IQ3_S": "IQ4_NL", "IQ4_XS": "IQ4_NL",
}  # fmt: skip


def fitting(kind: str, columns: int) -> str:
    """The type that a row of ``columns`` values really gets: rows that a block does not divide fall back, in the end to
    F16 [llama.cpp src/llama-quant.cpp: tensor_type_fallback].

    >>> fitting("Q4_K", 4096), fitting("Q4_K", 896), fitting("Q4_K", 100)
    ('Q4_K', 'Q5_0', 'F16')
    """
    if columns % BLOCKS[kind][0]:
        kind = _FALLBACK.get(kind, "F16")
    return kind if columns % BLOCKS[kind][0] == 0 else "F16"


def row_bytes(kind: str, columns: int) -> int:
    """Bytes of one row of ``columns`` values (a multiple of the block).

    >>> row_bytes("Q4_K", 4096)
    2304
    """
    block, size = BLOCKS[kind]
    return columns // block * size
