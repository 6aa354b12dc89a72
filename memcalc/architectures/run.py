"""How one forward pass is made, and the cache that it reads and fills."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.tensors.ops import AttentionCall
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Shape, Tensor


@dataclass(slots=True)
class Run:
    """How one forward pass is made. ``batch`` sequences of ``length`` new tokens, after ``past`` cached ones.

    ``padding``: the padding mask (batch, past + length), where it belongs to the caller and outlives the pass.
    ``beams``: how many of the sequences are candidates for the same text. ``split``: over how many cards the hidden
    states between the layers are divided by their length. ``side``: pixels a side of a model that sees pictures; it
    has no tokens to count. ``text``: tokens that a denoiser is conditioned on.

    Of an encoder-decoder, ``length`` are the encoder's tokens and ``target`` the decoder's, ``past`` and ``cache`` are
    the decoder's own, ``cross`` holds keys and values of what the encoder said (``source`` tokens)."""

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
    beams: int = 1
    compute: Format = Format.BF16
    split: int = 1
    side: Size = 0
    text: Size = 0
    target: Size = 0
    source: Size = 0
    cross: Cache | None = None


def at_most(size: Size, limit: int) -> Size:
    """The smaller of a size (or of each of a grid's) and a limit."""
    return np.minimum(size, limit) if isinstance(size, np.ndarray) else min(size, limit)


def at_least(size: Size, limit: int) -> Size:
    """The larger of a size (or of each of a grid's) and a limit."""
    return np.maximum(size, limit) if isinstance(size, np.ndarray) else max(size, limit)


@dataclass(slots=True)
class Cache:
    """transformers' DynamicCache: one pair of keys and values for each template block. Other caches subclass it
    (``memcalc.inference.caches``)."""

    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    counters: dict[int, Tensor] = field(default_factory=dict)
    states: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    def state(self, tape: Tape, index: int, one: State, batch: Size, fmt: Format) -> Tensor:
        """The state of a recurrent layer (batch, …), made when it is first asked for, then overwritten in place;
        ``fmt``: the format of a state that has none of its own [transformers 5.23 cache_utils.py:
        LinearAttentionLayer]."""
        if (index, one.name) not in self.states:
            shape = (batch, *one.shape)
            self.states[index, one.name] = cached(tape, shape, one.format or fmt, f"zeros ({one.name} state)")
        return self.states[index, one.name]

    @property
    def capacity_or_none(self) -> Size | None:
        """Tokens that a cache of fixed size has room for, which attention then reads under a mask; else None."""
        return None

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
                self.counters[index] = cached(key.tape, (1,), Format.INT64, "cumulative length")
            total = at_most(past, window - 1) + length
            keys, values = self._joined(key, total), self._joined(value, total)
            self.keys[index], self.values[index] = keys, values
        return self.keys[index], self.values[index]

    def fill(
        self, tape: Tape, index: int, shapes: tuple[Shape, Shape], window: int | None, fmt: Format, first: bool
    ) -> None:
        """What layer ``index`` holds before a decode step. ``shapes`` of keys and values: (batch, heads, past, values a
        head). A sliding layer holds what the last step joined: the whole prompt before the ``first`` step, then one
        window."""
        for store, (batch, heads, past, d) in zip((self.keys, self.values), shapes, strict=True):
            held = past if window is None or first else at_most(past, window)
            store[index] = cached(tape, (batch, heads, held, d), fmt, "cat (cache)")

    @staticmethod
    def _joined(new: Tensor, total: Size) -> Tensor:
        batch, heads, _, d = new.shape
        return cached(new.tape, (batch, heads, total, d), new.format, "cat (cache)")


def cached(tape: Tape, shape: tuple[Size, ...], fmt: Format, op: str) -> Tensor:
    """A new tensor that belongs to the cache."""
    found = fresh(tape, shape, fmt, op)
    found.storage.record.component = "kv_cache"
    return found
