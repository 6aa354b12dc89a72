"""The header of a GGUF file: its metadata, and the name, shape and block type of every tensor
[ggml docs/gguf.md; gguf 0.19 constants.py: GGUFValueType, GGMLQuantizationType].

The header is read front to back from any stream, so that a file far away need not be fetched. Long lists (a
tokenizer's) are walked over and only counted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from memcalc.errors import ModelError

FIELD = "model.gguf"
MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
"""Bytes to which each tensor's data is padded, unless the metadata says otherwise."""
LONGEST_TEXT, LONGEST_LIST, KEPT, MOST = 1 << 24, 1 << 24, 4096, 1 << 17
"""Bytes of a text, entries of a list, entries of a list that are kept, entries of a header: no real file has more."""
BLOCK_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
    13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
    40: "NVFP4", 41: "Q1_0",
}  # fmt: skip
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: ``shape`` with the row's length first, as the file has it; ``offset`` in bytes within the data."""

    name: str
    shape: tuple[int, ...]
    kind: str
    offset: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A list that was walked over: how many entries it has."""

    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata by key, all tensors, and where in the file the header ends, in bytes."""

    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]
    end: int

    @property
    def alignment(self) -> int:
        """Bytes to which each tensor's data is padded."""
        found = self.metadata.get("general.alignment", ALIGNMENT)
        return found if isinstance(found, int) and 0 < found <= 1 << 20 else ALIGNMENT

    @property
    def start(self) -> int:
        """Where in the file the data begins, in bytes."""
        return -(-self.end // self.alignment) * self.alignment


def read(stream: BinaryIO) -> Header:
    """The header at the beginning of ``stream``; ModelError where it is no GGUF file, or one that is cut short."""
    source = _Source(stream)
    if source.take(4) != MAGIC:
        raise ModelError("this is not a GGUF file: it does not begin with GGUF", FIELD)
    version = source.number("I")
    if version not in VERSIONS:
        raise ModelError(f"GGUF version {version} is not known", FIELD, VERSIONS)
    tensors, entries = source.number("Q"), source.number("Q")
    if tensors > MOST or entries > MOST:
        raise ModelError(f"a header of {tensors:,} tensors and {entries:,} entries is no real one", FIELD)
    metadata: dict[str, Any] = {}
    for _ in range(entries):
        key = source.text()
        metadata[key] = source.value(source.number("I"))
    found = tuple(_tensor(source) for _ in range(tensors))
    return Header(metadata, found, source.position)


def _tensor(source: _Source) -> Tensor:
    name, dimensions = source.text(), source.number("I")
    if not 1 <= dimensions <= 4:
        raise ModelError(f"the tensor {name[:60]!r} has {dimensions} dimensions", FIELD)
    shape = tuple(source.number("Q") for _ in range(dimensions))
    kind, offset = source.number("I"), source.number("Q")
    if kind not in BLOCK_TYPES:
        raise ModelError(f"the tensor {name[:60]!r} has a block type of number {kind}, which is not known", FIELD)
    if any(not 0 < one < 1 << 40 for one in shape):
        raise ModelError(f"the tensor {name[:60]!r} has an impossible shape", FIELD)
    return Tensor(name, shape, BLOCK_TYPES[kind], offset)


class _Source:
    """Typed values off a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.position = 0

    def take(self, size: int) -> bytes:
        found = self._stream.read(size)
        if len(found) < size:
            raise ModelError("the GGUF file ends within its header", FIELD)
        self.position += size
        return found

    def number(self, kind: str) -> int:
        return int(struct.unpack(f"<{kind}", self.take(struct.calcsize(kind)))[0])

    def text(self) -> str:
        length = self.number("Q")
        if length > LONGEST_TEXT:
            raise ModelError(f"a text of {length:,} bytes in a header is no real one", FIELD)
        return self.take(length).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _NUMBERS:
            form = _NUMBERS[kind]
            return struct.unpack(f"<{form}", self.take(struct.calcsize(form)))[0]
        if kind == _TEXT:
            return self.text()
        if kind == _LIST and depth < 3:
            return self._list(depth)
        raise ModelError(f"the metadata has a value of type {kind}, which is not known", FIELD)

    def _list(self, depth: int) -> Any:
        kind, length = self.number("I"), self.number("Q")
        if length > LONGEST_LIST:
            raise ModelError(f"a list of {length:,} entries in a header is no real one", FIELD)
        if kind in _NUMBERS:
            size = struct.calcsize(_NUMBERS[kind])
            found = self.take(length * size)
            return list(struct.unpack(f"<{length}{_NUMBERS[kind]}", found)) if length <= KEPT else Counted(length)
        for _ in range(length):
            if kind == _TEXT:
                self.text()
            else:
                self.value(kind, depth + 1)
        return Counted(length)
