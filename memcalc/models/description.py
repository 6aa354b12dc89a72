"""A model as the rest of memcalc sees it, wherever it was described."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from memcalc.architectures.spec import ModelSpec
from memcalc.quantisation.published import Published
from memcalc.quantisation.weight import Weight

Method = Literal["program", "nearest", "generic", "recorded", "traced"]


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """A file's tensors, each with its block type, and the file's size in bytes."""

    tensors: tuple[tuple[Weight, str], ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A name, what the model is made of, how it was understood, and what had to be assumed; ``stored``: the weights as
    a GGUF file has them, if it was described by one; ``published``: how the checkpoint's weights are quantised, if they
    are."""

    name: str
    spec: ModelSpec
    method: Method = "program"
    assumptions: tuple[str, ...] = field(default=())
    source: str = ""
    stored: StoredWeights | None = field(default=None, repr=False)
    published: Published | None = field(default=None, repr=False)
