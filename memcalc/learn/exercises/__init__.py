"""Exercises: the reader estimates first, then compares with memcalc; three levels, drawn from a seed."""

from __future__ import annotations

from typing import Final

from memcalc.learn.exercises import fitting, moments, parameters, texts, tuning
from memcalc.learn.exercises.exercise import LEVELS, Exercise, Level

_ORDER: Final = (
    "weights", "lasting", "each", "less", "line", "card",
    "cache", "accumulate", "most", "master", "bits", "adapters", "beside", "component",
    "logits", "checkpointing", "scores", "moment", "four-bits", "served", "zero",
)  # fmt: skip
"""From the easy to the hard, level by level."""
_ALL: Final = {one.slug: one for one in (*parameters.ALL, *texts.ALL, *tuning.ALL, *fitting.ALL, *moments.ALL)}

EXERCISES: Final[tuple[Exercise, ...]] = tuple(_ALL[slug] for slug in _ORDER)


def of(level: Level) -> tuple[Exercise, ...]:
    """The exercises of a level, in their order."""
    return tuple(one for one in EXERCISES if one.level == level)


def practising(lesson: int) -> list[tuple[Level, int, Exercise]]:
    """The exercises that a lesson helps with: (level, number in the level from 1, exercise)."""
    return [(level, at, one) for level in LEVELS for at, one in enumerate(of(level), 1) if one.lesson == lesson]


__all__ = ["EXERCISES", "LEVELS", "Exercise", "Level", "of", "practising"]
