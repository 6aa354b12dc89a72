"""Models that visitors have brought: what they are called, and how a link holds them. No Streamlit in here.

A link's parameter ``own`` holds up to four of them, the newest first, each packed (``memcalc.models.packed``): another
machine needs neither the file nor the network to show the same. What it says is as little trusted as an upload.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from memcalc.architectures.seq2seq import Seq2SeqSpec
from memcalc.diffusion import is_pipeline
from memcalc.errors import MemcalcError
from memcalc.models import ModelDescription, catalogue, describe, packed, vision
from memcalc.quantisation.published import Published
from memcalc.scenario.paths import Json

KEY: Final = "own"
MOST: Final = 4
LONGEST: Final = MOST * (packed.LONGEST + 1)
"""Characters of all of them together, in a link."""
HELD: Final = 1 << 20
"""Characters of one that is kept with the session only."""


@dataclass(frozen=True)
class Own:
    """A brought model: what it is called in lists, and its description as text."""

    label: str
    text: str

    @property
    def model(self) -> Json:
        """The scenario's ``model``."""
        return copy.deepcopy(_opened(self.text))

    @property
    def longest(self) -> int | None:
        """The most tokens that it has learned positions for; None where nothing ends there."""
        return described(_opened(self.text)).spec.longest

    @property
    def stored(self) -> Published | None:
        """How its checkpoint is quantised, if it was published so."""
        return described(_opened(self.text)).published

    @property
    def linked(self) -> bool:
        """Whether it is short enough for a link."""
        return len(self.text) <= packed.LONGEST


@lru_cache(maxsize=256)
def _opened(text: str) -> Json:
    return packed.unpack(text, HELD)


def described(model: Any) -> ModelDescription:
    """The description of a scenario's model, without files and the network; one that describes itself is read once."""
    return catalogue.describe(model) if isinstance(model, str) else _described(json.dumps(model, sort_keys=True))


@lru_cache(maxsize=256)
def _described(text: str) -> ModelDescription:
    return describe(json.loads(text), False)


def _is_described(model: Any) -> bool:
    """Whether more is known of a scenario's model than its size; an image pipeline has parts, and no description."""
    return is_own(model) or (isinstance(model, str) and not is_pipeline({"model": model}))


def writes(model: Any) -> bool:
    """Whether a scenario's model writes text; what is known by its size only is taken as a decoder. The others are used
    in one pass: they have no runtimes to choose from, and no cache."""
    return not _is_described(model) or described(model).spec.generates


def sees(model: Any) -> bool:
    """Whether a scenario's model looks at pictures, which have no length in tokens."""
    return _is_described(model) and described(model).spec.sees


def two_sided(model: Any) -> bool:
    """Whether a scenario's model has an encoder and a decoder, each with a length of its own."""
    return _is_described(model) and isinstance(described(model).spec, Seq2SeqSpec)


def positions(model: Any) -> int:
    """How many positions its encoder always has; 0 where they are as many as the tokens it is given."""
    spec = described(model).spec if _is_described(model) else None
    return spec.sources if isinstance(spec, Seq2SeqSpec) else 0


def heard(model: Any) -> str:
    """What an encoder of fixed length makes of lengths, in words; nothing for others."""
    fixed = positions(model)
    return f"always has {fixed:,} positions in its encoder: no other length counts there." if fixed else ""


def used(model: Any) -> str:
    """How a model that writes nothing is used, in words; nothing for one that writes."""
    if sees(model):
        return "looks at pictures: it is used in one pass, and tokens do not count."
    return "" if writes(model) else "reads all tokens at once and writes none: it is used in one pass."


def is_own(model: Any) -> bool:
    """Whether a scenario's model is one that describes itself."""
    return isinstance(model, Mapping) and "config" in model


def name(model: Any) -> str:
    """What to call a scenario's model in a list: its name; for one of a size only, nothing."""
    if isinstance(model, str):
        return model
    if vision.is_vision(model):
        return vision.name_of(model) or describe(model, False).name
    return (model.get("name") or described(model).name) if is_own(model) else ""


def labelled(texts: Iterable[str]) -> tuple[Own, ...]:
    """The models of several texts, each by a name that no other model in a list has. MemcalcError for a bad text."""
    known = set(catalogue.names())
    taken = set(known)
    found: list[Own] = []
    for text in texts:
        called = name(_opened(text))
        label, number = f"{called} (own)" if called in known else called, 2
        while label in taken:
            label, number = f"{called} ({number})", number + 1
        taken.add(label)
        found.append(Own(label, text))
    return tuple(found)


@lru_cache(maxsize=256)
def read(text: str) -> tuple[tuple[Own, ...], tuple[str, ...]]:
    """The models in a link, and a sentence for each that cannot be read."""
    if len(text) > LONGEST:
        return (), (f"The link's own models are longer than {LONGEST:,} characters: they were left out.",)
    good, bad = [], []
    for number, part in enumerate([one for one in text.split(".") if one][:MOST], 1):
        try:
            packed.unpack(part)
        except MemcalcError as error:
            bad.append(f"The link's own model {number} cannot be used: {error.message}.")
        else:
            good.append(part)
    return labelled(good), tuple(bad)


def write(texts: Iterable[str]) -> str:
    """Models as a link's value."""
    return ".".join(texts)
