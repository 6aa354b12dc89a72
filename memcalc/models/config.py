"""From a Hugging Face ``config.json`` to a specification, with the defaults of transformers 5.23.

Only what decides shapes and memory is read. A configuration that memcalc has no program for is refused
by name, one that contradicts itself by field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from memcalc.errors import ModelError
from memcalc.models.composite import TEXT_PARTS, text_part
from memcalc.models.description import ModelDescription
from memcalc.models.quantised import published
from memcalc.models.reader import FIELD, Family, shown
from memcalc.models.readers import FAMILIES

LARGEST = 4 * 1024 * 1024
"""Bytes: no real config.json is larger."""
DEEPEST = 24
"""Objects and lists within one another: real ones have up to six."""


def parsed(text: str | bytes, name: str, field: str) -> dict[str, Any]:
    """The JSON object in a stranger's file called ``name``; ModelError at ``field`` where there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is not valid JSON: {error}", field) from error
    if not isinstance(found, dict):
        raise ModelError(f"{name} is not a JSON object", field)
    _flat(found, name, field)
    return found


def _flat(found: Any, name: str, field: str) -> None:
    """Refuse what is nested deeper than ``DEEPEST``, which would exhaust whoever walks through it."""
    level = [found]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ModelError(f"{name} is nested too deeply: no configuration is", field)


def describe(config: Any, name: str = "") -> ModelDescription:
    """The model that ``config`` (a parsed config.json) describes; ModelError if there is no program for it."""
    if not isinstance(config, Mapping):
        raise ModelError("a config.json must be a JSON object", FIELD)
    stored = published(config)
    config, outside = text_part(config)
    stored = stored or published(config)
    kind = config.get("model_type")
    if kind is None:
        raise ModelError("config.json lacks model_type", f"{FIELD}.model_type", sorted(FAMILIES))
    if not isinstance(kind, str) or kind not in FAMILIES:
        known = sorted({*FAMILIES, *TEXT_PARTS})
        raise ModelError(f"no program yet for model_type {shown(kind)}", f"{FIELD}.model_type", known)
    family = FAMILIES[kind]
    head_note = () if outside else _head(config, family)
    spec, assumptions = family.read(config)
    notes = (*outside, *head_note, *assumptions)
    return ModelDescription(name or kind, spec, "program", notes, "config.json", published=stored)


def _head(config: Mapping[str, Any], family: Family) -> tuple[str, ...]:
    """Check the head that ``architectures`` names: there must be a program for it."""
    named, known = config.get("architectures"), family.heads or (family.head,)
    if not named:
        return (f"architectures is not in the configuration: {family.head} is taken",)
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise ModelError("architectures must be a list of names", f"{FIELD}.architectures", known)
    if named[0] in known:
        return ()
    raise ModelError(f"no program yet for the head of {shown(named[0])}", f"{FIELD}.architectures", known)
