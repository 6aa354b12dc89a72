"""The model catalogue: published configurations, with where each was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from typing import Any

from memcalc.errors import ModelError
from memcalc.models import config
from memcalc.models.description import ModelDescription


@dataclass(frozen=True, slots=True)
class Entry:
    """A catalogue model: its name, its configuration and the published number of parameters, with sources. ``stored``:
    the quantization_config of the checkpoint, where it is published quantised; the name alone means the model."""

    name: str
    hub: str
    config: dict[str, Any]
    parameters: int
    source: str
    parameters_source: str
    aliases: tuple[str, ...] = ()
    stored: Mapping[str, Any] | None = None


@lru_cache(maxsize=1)
def entries() -> dict[str, Entry]:
    """All entries by name, in the catalogue's order."""
    raw = json.loads(files("memcalc").joinpath("data/models.json").read_text("utf-8"))
    return {
        name: Entry(
            name,
            one["hub"],
            one["config"],
            one["parameters"],
            one["source"],
            one.get("parameters_source", ""),
            tuple(one.get("aliases", ())),
            one.get("quantization_config"),
        )
        for name, one in raw.items()
    }


@lru_cache(maxsize=1)
def _index() -> dict[str, str]:
    index: dict[str, str] = {}
    for name, entry in entries().items():
        for key in (name, entry.hub, *entry.aliases):
            index.setdefault(_key(key), name)
    return index


def _key(name: str) -> str:
    return name.strip().casefold().replace(" ", "-").replace("_", "-")


def names() -> tuple[str, ...]:
    """The catalogue's names, in its order."""
    return tuple(entries())


def find(name: str) -> Entry:
    """The entry called ``name`` (its name, hub name or an alias, whatever the case)."""
    found = _index().get(_key(name))
    if found is None:
        close = get_close_matches(_key(name), list(_index()), n=5, cutoff=0.5)
        choices = list(dict.fromkeys(_index()[one] for one in close))
        raise ModelError(f"the catalogue has no model called {name[:80]!r}", "model", choices or names())
    return entries()[found]


@lru_cache(maxsize=256)
def describe(name: str) -> ModelDescription:
    """The description of a catalogue model."""
    entry = find(name)
    found = replace(config.describe(entry.config, entry.name), source=entry.source)
    if entry.stored is None:
        return found
    weights = as_published(entry).published
    assert weights is not None
    note = f"{entry.name}'s checkpoint is published quantised: with inference.weights {weights.weights} it is taken so"
    return replace(found, assumptions=(*found.assumptions, note))


def as_published(entry: Entry) -> ModelDescription:
    """The description of the checkpoint on the Hub, quantised if it is."""
    return replace(config.describe(published_config(entry), entry.name), source=entry.source)


def published_config(entry: Entry) -> dict[str, Any]:
    """The config.json of the checkpoint on the Hub, as far as it is read."""
    return entry.config if entry.stored is None else {**entry.config, "quantization_config": entry.stored}
