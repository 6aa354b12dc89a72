"""Ministral (2024): Mistral with a window layer by layer. Ministral 3: Mistral whose queries grow with their position.

Mirrors transformers 5.23 models/ministral/modeling_ministral.py and models/ministral3/modeling_ministral3.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.llama import Llama
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class Ministral(Llama):
    """Both masks are made, whichever kinds of layers there are."""

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys((None, *self.spec.windows))}


class Ministral3(Llama):
    """Rotated queries times a number for each position."""

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        query, key = super().position(index, query, key, shared)[:2]
        scale = fresh(query.tape, (1, 1, query.shape[2], 1), query.format, "attention temperature")
        return ops.mul(query, scale), key
