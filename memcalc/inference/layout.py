"""What each layer of a model keeps for every sequence, as its configuration says: the cache, layer by layer.

Runtimes differ in how they allocate it (``memcalc.architectures.run``: transformers; ``memcalc.runtimes``: servers);
what there is to keep is the same for all. A new kind of layer plugs in by describing itself as a ``CacheLayer``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from memcalc.architectures.spec import ModelSpec, State

Kind = Literal["full", "sliding", "latent", "recurrent", "cross", "shared"]


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """One layer's part of the cache.

    ``full``: every token; ``sliding``: the last ``window`` tokens; ``latent``: one compressed vector a token (keys
    only); ``recurrent``: ``states`` for a sequence, whatever its length, and no tokens (layers of other kinds may have
    states too); ``cross``: ``window`` tokens of the encoder; ``shared``: another layer's cache is read, nothing kept.
    ``heads`` × ``keys`` and ``heads`` × ``values`` are the numbers kept for a token.
    """

    kind: Kind
    heads: int = 0
    keys: int = 0
    values: int = 0
    window: int | None = None
    states: tuple[State, ...] = ()

    @property
    def per_token(self) -> int:
        """Values kept for one token."""
        return self.heads * (self.keys + self.values)

    def tokens(self, length: int) -> int:
        """How many tokens of a sequence of ``length`` are kept."""
        if self.kind in ("recurrent", "shared"):
            return 0
        if self.kind == "cross":
            return self.window or 0
        return length if self.window is None else min(length, self.window)


@lru_cache(maxsize=256)
def layout(spec: ModelSpec) -> tuple[CacheLayer, ...]:
    """The cache of every layer of ``spec``, in order."""
    return tuple(_described(spec, layer) for layer in range(spec.layers))


def _described(spec: ModelSpec, layer: int) -> CacheLayer:
    """One head of keys and values of different widths is a latent vector and the rotated part beside it."""
    (heads, keys), (other, values) = spec.cache_shape(layer)
    window, states = spec.window(layer), spec.states(layer)
    if states and not heads:
        return CacheLayer("recurrent", states=states)
    if not heads:
        return CacheLayer("shared")
    if (heads, keys) != (other, values):
        return CacheLayer("latent", 1, heads * keys + other * values, 0, window)
    return CacheLayer("full" if window is None else "sliding", heads, keys, values, window, states)


def values_per_token(layers: Iterable[CacheLayer]) -> int:
    """Values that one more token adds while no window is full.

    >>> values_per_token([CacheLayer("full", 8, 128, 128)] * 32) * 2     # Llama-3.1-8B in 16 bits
    131072
    """
    return sum(one.per_token for one in layers)


def values_per_sequence(layers: Iterable[CacheLayer], length: int) -> int:
    """Values of its tokens kept for a sequence of ``length``."""
    return sum(one.per_token * one.tokens(length) for one in layers)


def state_bytes(layers: Iterable[CacheLayer], size: int) -> int:
    """Bytes of the states kept for a sequence, whatever its length; ``size``: bytes of a value whose state has no
    format of its own.

    >>> from memcalc.formats import Format
    >>> conv, scan = State("convolution", (5120, 4)), State("recurrent", (5120, 16), Format.FP32)
    >>> state_bytes([CacheLayer("recurrent", states=(conv, scan))] * 64, 2)     # mamba-2.8b in 16 bits
    23592960
    """
    return sum(state.count * (state.format.size if state.format else size) for one in layers for state in one.states)
