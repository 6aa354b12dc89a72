"""How one forward pass is made, and the cache that it reads and fills."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from memcalc.formats import Format
from memcalc.tensors.ops import AttentionCall
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Tensor


@dataclass(slots=True)
class Run:
    """How one forward pass is made. ``batch`` sequences of ``length`` new tokens, after ``past`` cached ones.

    ``padding``: the padding mask (batch, past + length), where it belongs to the caller and outlives the pass.
    ``split``: over how many cards the hidden states between the layers are divided by their length."""

    batch: Size
    length: Size
    attention: AttentionCall
    eager: bool = False
    padded: bool = False
    padding: Tensor | None = None
    checkpointing: bool = False
    recompute_attention: bool = False
    fused_loss: bool = False
    training: bool = True
    past: Size = 0
    cache: Cache | None = None
    last_logits: bool = False
    compute: Format = Format.BF16
    split: int = 1


def at_most(size: Size, limit: int) -> Size:
    """The smaller of a size (or of each of a grid's) and a limit."""
    return np.minimum(size, limit) if isinstance(size, np.ndarray) else min(size, limit)


@dataclass(slots=True)
class Cache:
    """transformers' DynamicCache: one pair of keys and values for each template block."""

    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    counters: dict[int, Tensor] = field(default_factory=dict)

    def update(self, index: int, key: Tensor, value: Tensor, window: int | None, past: Size) -> tuple[Tensor, Tensor]:
        """Append to layer ``index`` after ``past`` tokens: keys, then values, are copied into a longer tensor. A
        sliding layer joins the last window - 1 tokens only, makes both before it lets go of the old ones, and
        keeps a view of each, and with that the whole storage until the next step; it counts its tokens on the
        device."""
        length = key.shape[2]
        if window is None:
            self.keys[index] = self._joined(key, past + length)
            self.values[index] = self._joined(value, past + length)
        else:
            if index not in self.counters:
                counter = fresh(key.tape, (1,), Format.INT64, "cumulative length")
                counter.storage.record.component = "kv_cache"
                self.counters[index] = counter
            total = at_most(past, window - 1) + length
            keys, values = self._joined(key, total), self._joined(value, total)
            self.keys[index], self.values[index] = keys, values
        return self.keys[index], self.values[index]

    @staticmethod
    def _joined(new: Tensor, total: Size) -> Tensor:
        batch, heads, _, d = new.shape
        shape = (batch, heads, total, d)
        joined = fresh(new.tape, shape, new.format, "cat (cache)")
        joined.storage.record.component = "kv_cache"
        return joined
