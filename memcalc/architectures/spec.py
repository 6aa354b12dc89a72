"""What a model is made of, as its configuration says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.formats import Format


@dataclass(frozen=True, slots=True)
class State:
    """What a recurrent layer keeps for a sequence, whatever its length: its name, shape and format (None: the model's
    own)."""

    name: str
    shape: tuple[int, ...]
    format: Format | None = None

    @property
    def count(self) -> int:
        """Values for one sequence."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's sizes and choices, as all of memcalc reads them. Lengths in tokens or values, nothing in bytes.

    ``family`` names the program that runs it. ``ffn`` is the feed-forward width; ``kv_heads`` < ``heads``
    means grouped-query attention; ``windows`` holds each layer's sliding window (None: full attention);
    ``learned_positions`` limits the sequence, ``max_positions`` is what the configuration was made for;
    ``eager_only``: transformers has no other attention for it.
    """

    family: str
    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    max_positions: int
    activation: str
    tied: bool
    learned_positions: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    embedding_dropout: float = 0.0
    residual_dropout: float = 0.0
    attention_dropout: float = 0.0
    windows: tuple[int | None, ...] = ()
    eager_only: bool = False

    @property
    def longest(self) -> int | None:
        """The most tokens that the model has learned positions for; None where nothing ends there."""
        return self.max_positions if self.learned_positions else None

    @property
    def chunked(self) -> bool:
        """Whether its windows are chunks that start anew, not the last so many tokens."""
        return False

    def window(self, layer: int) -> int | None:
        """The sliding window of a layer, or None."""
        return self.windows[layer] if self.windows else None

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(heads, values a head) that a layer's cache holds for each token: of the keys, and of the values."""
        return (self.kv_heads, self.head_dim), (self.kv_heads, self.head_dim)

    def states(self, layer: int) -> tuple[State, ...]:
        """What a layer keeps for a sequence beside its tokens: nothing, unless it is recurrent."""
        return ()

    @property
    def recurrent(self) -> bool:
        """Whether any layer keeps states."""
        return any(self.states(layer) for layer in range(self.layers))

    @property
    def attention_free(self) -> bool:
        """Whether no layer attends to tokens."""
        return not any(self.cache_shape(layer)[0][0] for layer in range(self.layers))

    @property
    def by_length(self) -> bool:
        """Whether what is kept depends on each length's own value: a sweep then runs each length by itself."""
        return False

    @property
    def by_batch(self) -> bool:
        """The same of the number of sequences, in generation."""
        return False

    def kind(self, layer: int) -> object:
        """What distinguishes a layer from others: its window, unless a family has more."""
        return self.window(layer)

    @property
    def generates(self) -> bool:
        """Whether the model writes text token by token, with a cache."""
        return True

    @property
    def sees(self) -> bool:
        """Whether it reads pictures, whose side is asked for in pixels, and no tokens."""
        return False

    @property
    def always_masked(self) -> bool:
        """Whether attention is given a mask of numbers at every call, which flash attention cannot take."""
        return False

    @property
    def scores_words(self) -> bool:
        """Whether the head gives a score for each word of the vocabulary, at each token."""
        return True


@dataclass(frozen=True, slots=True)
class DecoderSpec(ModelSpec):
    """A decoder-only language model."""


@dataclass(frozen=True, slots=True)
class Template:
    """One block that is run, standing for ``repeat`` equal ones.

    ``layer`` is the first layer it stands for. Templates with the same ``group`` follow one another and
    repeat together (a period of a layer pattern).
    """

    layer: int
    repeat: int
    group: int
    label: str


def templates(kinds: list[object], unroll: bool = False) -> list[Template]:
    """Which layers to run, so that all ``len(kinds)`` are accounted for exactly.

    ``kinds`` says what distinguishes the layers. The first period and the last layers are run as they are
    (their neighbours differ from a middle layer's), one period in between stands for all that are equal.

    >>> [(t.layer, t.repeat) for t in templates(["same"] * 32)]
    [(0, 1), (1, 30), (31, 1)]
    """
    total = len(kinds)
    period = next(p for p in range(1, total + 1) if all(kinds[i] == kinds[i - p] for i in range(p, total)))
    repeats = (total - 2 * period) // period
    if unroll or total < 4:
        return [_single(i) for i in range(total)]
    if repeats < 2:
        return _runs(kinds)
    plan = [_single(i) for i in range(period)]
    last = period * (repeats + 1)
    for i in range(period, 2 * period):
        label = f"blocks {i + 1}–{last}" if period == 1 else f"blocks {i + 1}–{last - 2 * period + i + 1}"
        plan.append(Template(i, repeats, period, label))
    return plan + [_single(i) for i in range(last, total)]


def places(plan: Sequence[Template]) -> dict[str, range]:
    """The layers that each label of ``plan`` stands for.

    >>> places(templates(["same"] * 32))["blocks 2–31"]
    range(1, 31)
    """
    period = Counter(one.group for one in plan)
    return {one.label: range(one.layer, one.layer + one.repeat * period[one.group], period[one.group]) for one in plan}


def _single(layer: int) -> Template:
    return Template(layer, 1, layer, f"block {layer + 1}")


def _runs(kinds: list[object]) -> list[Template]:
    """Runs of equal layers one after another: the first and the last of each run as they are, one for those between."""
    plan: list[Template] = []
    start = 0
    for stop in range(1, len(kinds) + 1):
        if stop < len(kinds) and kinds[stop] == kinds[start]:
            continue
        if stop - start < 4:
            plan += [_single(i) for i in range(start, stop)]
        else:
            between = Template(start + 1, stop - start - 2, start + 1, f"blocks {start + 2}–{stop - 1}")
            plan += [_single(start), between, _single(stop - 1)]
        start = stop
    return plan
