"""Rotary positions on part of each head's values (Phi, StableLM, GLM), computed as the model code does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.llama import Llama, rotate
from memcalc.architectures.spec import DecoderSpec
from memcalc.formats import wider
from memcalc.tensors import ops
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class PartialSpec(DecoderSpec):
    """A decoder that rotates the first ``rotary_dim`` values of each head."""

    rotary_dim: int = 0


class PartialRotary(Llama):
    """Rotates the first values of each query and key and joins them with the rest: new tensors, head by head."""

    spec: PartialSpec
    by_head = True

    @property
    def rotary_dim(self) -> int:
        return self.spec.rotary_dim

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        cos, sin = shared[:2]
        width = self.rotary_dim
        query_rotated, query_rest = parted(query, width)
        key_rotated, key_rest = parted(key, width)
        query_out = joined(rotate(query_rotated, cos, sin), query_rest)
        return query_out, joined(rotate(key_rotated, cos, sin), key_rest)


def parted(x: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """``x[..., :width], x[..., width:]``; a slice of everything is x itself, one of nothing still has a gradient."""
    whole = x.shape[-1]
    return (x.view() if width == whole else ops.slice_last(x, width)), ops.slice_last(x, whole - width)


def joined(a: Tensor, b: Tensor) -> Tensor:
    """``torch.cat((a, b), -1)``: autocast casts the narrower format first."""
    if a.tape.autocast is not None:
        fmt = wider(a.format, b.format)
        a, b = ops.to(a, fmt), ops.to(b, fmt)
    return ops.cat_halves(a, b)
