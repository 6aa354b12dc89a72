"""SmolLM3: Llama with layers that have no rotary positions (every fourth), which may be sliding.

Mirrors transformers 5.23 models/smollm3/modeling_smollm3.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.llama import Llama
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec
from memcalc.formats import Format
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class SmolLM3Spec(DecoderSpec):
    """A SmolLM3 model; which layers have rotary positions."""

    rotary_layers: tuple[bool, ...] = ()

    def kind(self, layer: int) -> object:
        return self.window(layer), self.rotary_layers[layer]


class SmolLM3(Llama):
    """Some layers rotate queries and keys, the others take them as they are."""

    spec: SmolLM3Spec

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not self.spec.rotary_layers[self.plan[index].layer]:
            return query, key
        return super().position(index, query, key, shared)

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        # The mask of full attention is made even where all layers slide.
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys((None, *self.spec.windows))}
