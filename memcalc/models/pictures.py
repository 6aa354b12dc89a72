"""Classifiers of pictures by their names in torchvision and timm, with those packages' own sizes."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from memcalc.errors import ModelError
from memcalc.models import convnexts, resnets, vits
from memcalc.models.description import ModelDescription

FAMILIES = (resnets, vits, convnexts)
LIBRARIES = ("timm", "torchvision")


def names(library: str) -> tuple[str, ...]:
    """The models of ``library`` that have a program."""
    return tuple(name for family in FAMILIES for name in family.NAMES[library])


def describe(library: str, name: Any) -> ModelDescription:
    """The model called ``name`` in ``library``; ModelError with the known names for any other."""
    known = names(library)
    if not isinstance(name, str):
        raise ModelError(f"model.{library} must be a model's name", f"model.{library}", known)
    for family in FAMILIES:
        if name in family.NAMES[library]:
            return ModelDescription(
                name, family.described(library, name), source=f"{library}'s own definition of {name}"
            )
    raise ModelError(
        f"no program yet for {library}'s model {name[:60]!r}: with {library} installed, the tracer can follow it",
        f"model.{library}",
        get_close_matches(name, known, n=5, cutoff=0.5) or known,
    )
