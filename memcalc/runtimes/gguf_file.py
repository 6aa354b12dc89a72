"""A model as the GGUF file that llama.cpp reads: tensors with their block types, and the file's size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from memcalc.architectures.layers import Maker
from memcalc.architectures.listing import listing
from memcalc.architectures.programs import PROGRAMS
from memcalc.architectures.spec import ModelSpec
from memcalc.formats import Format
from memcalc.models.description import StoredWeights
from memcalc.quantisation.gguf import Traits, tensor_bytes, types
from memcalc.quantisation.gguf_types import row_bytes
from memcalc.quantisation.weight import Weight

ALIGNMENT = 32
"""Bytes to which each tensor's data is padded in the file [gguf constants.py: GGUF_DEFAULT_ALIGNMENT]."""
PER_TOKEN = 48
"""Bytes of the tokenizer for each entry of the vocabulary: text, type, merges. Published files: 39 (Qwen2.5-0.5B) and
61 (Llama-3.1-8B, with its 280,147 merges) with byte-pair merges, 22 (Llama-2-7B) without."""
PER_TENSOR = 64
"""Bytes of a tensor's entry in the header: name, shape, type, offset."""
CUDA_ALIGNMENT = 128
"""Bytes to which tensors are aligned in a CUDA buffer [ggml-cuda.cu: ggml_backend_cuda_buffer_type_get_alignment]."""
ROW_PADDING = 512
"""Columns to which the last row of a quantised matrix is padded on CUDA [ggml-cuda.cu: MATRIX_ROW_PADDING]."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of the file: what it is, its block type, its bytes, and its bytes in a CUDA buffer."""

    weight: Weight
    kind: str
    bytes: int
    on_cuda: int


@dataclass(frozen=True, slots=True)
class GgufFile:
    """All tensors, and the whole file's bytes."""

    tensors: tuple[Stored, ...]
    file_bytes: int

    @property
    def data_bytes(self) -> int:
        return sum(one.bytes for one in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits a weight over all tensors, as llama.cpp prints it."""
        return 8 * self.data_bytes / sum(one.weight.count for one in self.tensors)

    def layer(self, number: int | None, embedding: bool = False) -> int:
        """Bytes in a CUDA buffer of one layer, or of what belongs to none: the output side, or the ``embedding``."""
        return sum(
            one.on_cuda
            for one in self.tensors
            if one.weight.layer == number
            and (number is not None or (one.weight.kind in ("token_embd", "position_embd")) == embedding)
        )


def traits_of(spec: ModelSpec) -> Traits:
    """What the mixtures' rules ask of a model."""
    family = "falcon" if spec.family.startswith("falcon") else spec.family
    experts = int(getattr(spec, "experts", 1))
    return Traits(spec.layers, spec.heads // spec.kv_heads, experts, family, spec.tied)


@lru_cache(maxsize=256)
def gguf_file(spec: ModelSpec, mixture: str) -> GgufFile:
    """The file of ``spec`` in ``mixture``."""
    program = PROGRAMS[spec.family](spec, Maker(Format.BF16))
    found = []
    size = spec.vocab * PER_TOKEN
    for one, kind in types(listing(program), mixture, traits_of(spec)):
        bytes_ = tensor_bytes(one, kind)
        found.append(Stored(one, kind, bytes_, _on_cuda(one, kind, bytes_)))
        size += -(-bytes_ // ALIGNMENT) * ALIGNMENT + PER_TENSOR
    return GgufFile(tuple(found), size)


@lru_cache(maxsize=32)
def stored_file(stored: StoredWeights) -> GgufFile:
    """The file that a model was described by, as it is."""
    found = []
    for one, kind in stored.tensors:
        bytes_ = tensor_bytes(one, kind)
        found.append(Stored(one, kind, bytes_, _on_cuda(one, kind, bytes_)))
    return GgufFile(tuple(found), stored.bytes)


def _on_cuda(one: Weight, kind: str, size: int) -> int:
    if kind not in ("F32", "F16", "BF16") and one.columns % ROW_PADDING:
        size += row_bytes(kind, ROW_PADDING - one.columns % ROW_PADDING)
    return -(-size // CUDA_ALIGNMENT) * CUDA_ALIGNMENT
