"""Number formats: how many bytes a value takes.

Sizes are those of torch's dtypes (``torch.finfo``/``torch.iinfo`` bits / 8).
"""

from __future__ import annotations

from enum import Enum


class Format(Enum):
    """A torch dtype. ``.size`` is bytes a value, ``.label`` what people call it."""

    FP32 = ("fp32", 4)
    BF16 = ("bf16", 2)
    FP16 = ("fp16", 2)
    INT64 = ("int64", 8)
    INT32 = ("int32", 4)
    BOOL = ("bool", 1)
    UINT8 = ("uint8", 1)

    def __init__(self, label: str, size: int) -> None:
        self.label = label
        self.size = size

    @property
    def is_half(self) -> bool:
        """True for the 16-bit floating formats, which flash attention and autocast use."""
        return self.size == 2

    @classmethod
    def named(cls, label: str) -> Format:
        """The format called ``label`` (``"bf16"``); KeyError if there is none."""
        for one in cls:
            if one.label == label:
                return one
        raise KeyError(label)


def wider(a: Format, b: Format) -> Format:
    """The format of ``a + b`` for two tensors of at least one dimension (torch's type promotion)."""
    if a is b:
        return a
    if a.is_half and b.is_half:  # bf16 with fp16 promotes to fp32
        return Format.FP32
    if Format.FP32 in (a, b):
        return Format.FP32
    return a if a.size >= b.size else b
