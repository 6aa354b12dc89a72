"""A model as the rest of memcalc sees it, wherever it was described."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from memcalc.architectures.spec import DecoderSpec

Method = Literal["program", "nearest", "generic", "recorded", "traced"]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A name, what the model is made of, how it was understood, and what had to be assumed."""

    name: str
    spec: DecoderSpec
    method: Method = "program"
    assumptions: tuple[str, ...] = field(default=())
    source: str = ""
