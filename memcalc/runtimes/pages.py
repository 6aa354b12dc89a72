"""A cache in pages of a few tokens, as vLLM, SGLang and TensorRT-LLM keep it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from memcalc.inference.layout import CacheLayer


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share block tables: how many, and their window (None: full attention)."""

    layers: int
    window: int | None

    def pages(self, length: int, page: int, in_flight: int) -> int:
        """Pages that a sequence of ``length`` tokens needs; a window holds window - 1 tokens and those in flight, and
        starts anywhere within a page [vllm v1/kv_cache_interface.py: SlidingWindowSpec.max_memory_usage_bytes]."""
        if self.window is None:
            return -(-length // page)
        held = min(self.window - 1 + in_flight, length)
        return min(-(-held // page) + 1, -(-length // page)) if held == length else -(-held // page) + 1


@dataclass(frozen=True, slots=True)
class Paged:
    """The groups of a model's layers, bytes of one page of one layer, tokens of a page.

    All groups draw pages from one pool and have the same number of layers (the last may be filled up), so that a page
    of any group has the same size [vllm v1/core/kv_cache_utils.py].
    """

    groups: tuple[Group, ...]
    layer_page: int
    page: int

    @property
    def block(self) -> int:
        """Bytes of one block: one page in each layer of a group."""
        return self.layer_page * self.groups[0].layers

    def blocks(self, length: int, in_flight: int) -> int:
        """Blocks that a sequence of ``length`` tokens needs over all groups."""
        return sum(one.pages(length, self.page, in_flight) for one in self.groups)


def paged(layers: Sequence[CacheLayer], size: Fraction, page: int, hybrid: bool) -> Paged:
    """``size`` bytes a value, ``page`` tokens a page. ``hybrid``: sliding layers get groups of their own; otherwise all
    are treated as full attention."""
    width = layers[0].per_token
    layer_page = int(width * page * size)
    windows = Counter(one.window if hybrid else None for one in layers if one.kind != "shared")
    if len(windows) == 1:
        ((window, count),) = windows.items()
        return Paged((Group(count, window),), layer_page, page)
    least, most = min(windows.values()), max(windows.values())
    each = most if most < least * 1.25 else least
    groups = tuple(Group(each, window) for window, count in windows.items() for _ in range(-(-count // each)))
    return Paged(groups, layer_page, page)
