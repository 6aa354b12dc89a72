"""transformers' other caches: quantised (int8, int4), fp8, static [transformers 5.23 cache_utils.py].

Each mirrors the ``update`` of its layer: what it stores, what it makes for a moment, and what attention then reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.run import Cache, at_most, cached
from memcalc.formats import Format
from memcalc.inference.cache_formats import GROUP, RESIDUAL
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Shape, Tensor


@dataclass(slots=True)
class Quantised(Cache):
    """QuantizedCache: ``bits`` a value in groups of 64; the newest tokens stay as they are until there are 128, then
    everything is quantised anew. Sliding windows are not used. ``prompt``: tokens quantised by the prefill."""

    bits: int = 4
    prompt: Size = 0

    def update(self, index: int, key: Tensor, value: Tensor, window: int | None, past: Size) -> tuple[Tensor, Tensor]:
        if isinstance(past, int) and past == 0:
            self.keys[index], self.values[index] = self._stored(key), self._stored(value)
            return key, value
        newest = self._newest(past)
        whole = [self._like(one, past - newest, "dequantised cache") for one in (key, value)]
        joined = [self._like(one, past + one.shape[2], "cat (cache)") for one in (key, value)]
        for store, one in ((self.keys, key), (self.values, value)):
            batch, heads, length, d = one.shape
            store[~index] = cached(one.tape, (batch, heads, newest + length, d), one.format, "cat (newest tokens)")
        del whole
        return joined[0], joined[1]

    @staticmethod
    def _like(one: Tensor, tokens: Size, op: str) -> Tensor:
        batch, heads, _, d = one.shape
        return fresh(one.tape, (batch, heads, tokens, d), one.format, op)

    def fill(
        self, tape: Tape, index: int, shapes: tuple[Shape, Shape], window: int | None, fmt: Format, first: bool
    ) -> None:
        for store, (batch, heads, past, d) in zip((self.keys, self.values), shapes, strict=True):
            newest = self._newest(past)
            store[index] = self._packed(tape, batch * heads * (past - newest) * d)
            store[~index] = cached(tape, (batch, heads, newest, d), fmt, "cat (newest tokens)")

    def _newest(self, past: Size) -> Size:
        return (past - self.prompt) % RESIDUAL

    def _stored(self, x: Tensor) -> Tensor:
        """Quantised from an fp32 copy in groups; two more of its size live while minimum and maximum are taken."""
        count: Size = 1
        for dim in x.shape:
            count = count * dim
        wide = [fresh(x.tape, x.shape, Format.FP32, "quantising the cache") for _ in range(2)]
        stored = self._packed(x.tape, count)
        del wide
        return stored

    def _packed(self, tape: Tape, count: Size) -> Tensor:
        """Values, and a 16-bit scale and zero point for each group."""
        return cached(tape, (count * self.bits // 8 + -(-count // GROUP) * 4,), Format.UINT8, "quantised cache")


@dataclass(slots=True)
class Fp8(Cache):
    """One byte a value with a scale a layer; at every step the whole layer is made anew, by way of an fp32 copy."""

    def update(self, index: int, key: Tensor, value: Tensor, window: int | None, past: Size) -> tuple[Tensor, Tensor]:
        tape, first = key.tape, isinstance(past, int) and past == 0
        shapes = [(*one.shape[:2], past + one.shape[2], one.shape[3]) for one in (key, value)]
        for store, shape in zip((self.keys, self.values), shapes, strict=True):
            wide = fresh(tape, shape, Format.FP32, "quantising the cache") if first else None
            store[index] = cached(tape, shape, Format.UINT8, "fp8 cache")
            del wide
        if first:
            return key, value
        found = []
        for shape in shapes:
            copies = [fresh(tape, shape, Format.FP32, "dequantising the cache") for _ in range(2)]
            found.append(fresh(tape, shape, key.format, "dequantised cache"))
            del copies
        return found[0], found[1]

    def fill(
        self, tape: Tape, index: int, shapes: tuple[Shape, Shape], window: int | None, fmt: Format, first: bool
    ) -> None:
        for store, shape in zip((self.keys, self.values), shapes, strict=True):
            store[index] = cached(tape, shape, Format.UINT8, "fp8 cache")


@dataclass(slots=True)
class Static(Cache):
    """StaticCache: keys and values for ``capacity`` tokens at once, written in place and read whole, under a mask."""

    capacity: Size = 0

    def update(self, index: int, key: Tensor, value: Tensor, window: int | None, past: Size) -> tuple[Tensor, Tensor]:
        if index not in self.keys:
            self.fill(key.tape, index, (key.shape, value.shape), window, key.format, True)
        return self.keys[index], self.values[index]

    def fill(
        self, tape: Tape, index: int, shapes: tuple[Shape, Shape], window: int | None, fmt: Format, first: bool
    ) -> None:
        for store, (batch, heads, _, d) in zip((self.keys, self.values), shapes, strict=True):
            store[index] = cached(tape, (batch, heads, self._room(window), d), fmt, "zeros (static cache)")

    def _room(self, window: int | None) -> Size:
        return self.capacity if window is None else at_most(self.capacity, window)

    @property
    def capacity_or_none(self) -> Size | None:
        return self.capacity


def cache_for(store: str, prompt: Size, capacity: Size) -> Cache:
    """The cache that ``inference.kv_cache`` names: after ``prompt`` tokens of prefill, for ``capacity`` in all."""
    if store in ("int8", "int4"):
        return Quantised(bits=int(store[3:]), prompt=prompt)
    if store == "fp8":
        return Fp8()
    return Static(capacity=capacity) if store == "static" else Cache()
