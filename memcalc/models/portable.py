"""A model that carries its own description: nothing else is needed to estimate with it, no file and no network.

``{"config": {…}}`` may have beside it a ``name``, the ``repository`` that it was read from, and ``stored``: the tensors
of a GGUF file with their block types. ``carried`` makes such an object of a model of the Hub, of a file or of a whole
config.json, and keeps of the configuration what the reader of its family reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from memcalc.errors import ModelError
from memcalc.models import catalogue, config, quantised
from memcalc.models.description import ModelDescription
from memcalc.models.files import gguf, gguf_listing, hub
from memcalc.models.reader import shown

BESIDE = ("name", "repository", "stored")
"""What a model object may have beside its ``config``."""
LONGEST_NAME = 80
MOST_BYTES = 1 << 50
"""Of a file of weights."""


def describe(model: Mapping[str, Any]) -> ModelDescription:
    """The model that an object with a ``config`` describes by itself."""
    for one in model:
        if one not in ("config", *BESIDE):
            raise ModelError(f"unknown field model.{str(one)[:40]}", f"model.{str(one)[:40]}", ["config", *BESIDE])
    name, place = _name(model.get("name")), _repository(model.get("repository"))
    if model.get("stored") is not None:
        try:
            return _with_file(json.dumps(dict(model), sort_keys=True))
        except (TypeError, RecursionError) as error:
            raise ModelError("the model is not JSON", "model") from error
    found = config.describe(model["config"], name)
    return replace(found, source=f"config.json of {place} on the Hub") if place else found


@lru_cache(maxsize=32)
def _with_file(text: str) -> ModelDescription:
    model = json.loads(text)
    stored = model["stored"]
    if not isinstance(stored, Mapping) or set(stored) != {"bytes", "tensors"}:
        raise ModelError("model.stored must have bytes and tensors", "model.stored", ["bytes", "tensors"])
    size = stored["bytes"]
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= MOST_BYTES:
        raise ModelError(f"model.stored.bytes must be a file's size, not {shown(size)}", "model.stored.bytes")
    tensors = gguf_listing.tensors(stored["tensors"])
    return gguf.described(model["config"], tensors, _name(model.get("name")) or "a GGUF file", size)


def _name(given: Any) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or not given.strip() or len(given) > LONGEST_NAME or not given.isprintable():
        raise ModelError(f"model.name must be a line of at most {LONGEST_NAME} characters", "model.name")
    return given.strip()


def _repository(given: Any) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or not (hub.is_repository(given) or hub.file_of(given)):
        raise ModelError("model.repository must be org/name or org/name:file", "model.repository")
    return given


def carried(model: Any, allow_files: bool = False) -> Any:
    """``model`` without the need of a file or of the network: a catalogue name, a size, or a described object. For
    ``{"hub": …}`` and ``{"gguf": …}`` this is what reads the file, once."""
    if not isinstance(model, Mapping):
        return catalogue.find(model).name if isinstance(model, str) else model
    if model.get("hub") is not None:
        place = model["hub"]
        known = hub.known(place)
        if known is not None and known.stored is not None:
            made = {"config": catalogue.published_config(known), "name": known.name, "repository": place}
            return _settled(made)
        if known is not None:
            return known.name
        file = hub.configuration_of(place)
        parsed = hub.configuration(file, allow_files)
        return _settled({"config": parsed, "name": file.repository.partition("/")[2], "repository": place})
    if model.get("gguf") is not None:
        whole = gguf.whole(model["gguf"], allow_files)
        stored = {"bytes": whole.bytes, "tensors": gguf_listing.rows(whole.header.tensors)}
        made = {"config": whole.config(), "name": whole.called, "stored": stored}
        remote = hub.file_of(model["gguf"])
        return _settled(made | ({"repository": model["gguf"]} if remote else {}))
    return _settled(model) if model.get("config") is not None else model


def _settled(model: Mapping[str, Any]) -> dict[str, Any]:
    """The object with what is read of its configuration, if that says the same."""
    described = describe(model)
    seen = Recorded(quantised.shortened(_counted(model["config"])))
    config.describe(seen)
    kept = {"config": seen.read(), **{one: model[one] for one in BESIDE if model.get(one) is not None}}
    return kept if describe(kept) == described else {**kept, "config": model["config"]}


def _counted(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration with the number of a classifier's labels in place of their names: as good to transformers."""
    names = given.get("id2label")
    if not isinstance(names, Mapping) or given.get("num_labels") is not None:
        return given
    return {"num_labels": len(names), **{name: value for name, value in given.items() if name != "id2label"}}


class Recorded(Mapping[str, Any]):
    """A mapping that remembers which of its entries, and of the mappings in it, were read: all, once it was counted or
    walked through."""

    def __init__(self, held: Mapping[str, Any]) -> None:
        self._held = held
        self._read: dict[str, Any] = {}
        self._whole = False

    def __bool__(self) -> bool:
        return bool(self._held)

    def __getitem__(self, name: str) -> Any:
        if name not in self._read:
            value = self._held[name]
            self._read[name] = Recorded(value) if isinstance(value, Mapping) else value
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        self._whole = True
        return iter(self._held)

    def __len__(self) -> int:
        self._whole = True
        return len(self._held)

    def read(self) -> dict[str, Any]:
        """What was read, in the mapping's own order; mappings of which nothing was read are left out."""
        if self._whole:
            return dict(self._held)
        found = {
            name: self._read[name].read() if isinstance(self._read[name], Recorded) else self._read[name]
            for name in self._held
            if name in self._read
        }
        return {name: value for name, value in found.items() if not isinstance(value, dict) or value}
