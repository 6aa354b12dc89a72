"""Where the reader is among the exercises: level, exercise and seed in the address; answers in the session only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import streamlit as st

from memcalc.learn.exercises import LEVELS, Exercise, Level, of
from memcalc.learn.exercises.answers import read
from memcalc.learn.exercises.check import check
from memcalc.learn.exercises.exercise import FIRST_SEED, LAST_SEED, Task, another
from memcalc.ui import carry

LEVEL, NUMBER, SEED = "level", "exercise", "seed"
SEEDS: Final = frozenset(map(str, range(FIRST_SEED, LAST_SEED + 1)))
MOST: Final = max(len(of(level)) for level in LEVELS)
_ATTEMPTS: Final = "_attempts"


@dataclass(frozen=True)
class Attempt:
    """What the reader wrote last, and what it means: a value, or an error. ``solved``: the solution was asked for."""

    text: str = ""
    value: float | None = None
    error: str = ""
    solved: bool = False


def level() -> Level:
    """The chosen level."""
    said = st.session_state.get(LEVEL)
    return next((one for one in LEVELS if one == said), next(iter(LEVELS)))


def numbers() -> tuple[str, ...]:
    """The exercises of the level, by number from 1."""
    return tuple(str(at) for at in range(1, len(of(level())) + 1))


def number() -> int:
    """The exercise's number in its level."""
    said = st.session_state.get(NUMBER)
    return int(said) if said in numbers() else 1


def seed() -> int:
    """The seed from which the numbers are drawn."""
    said = st.session_state.get(SEED)
    return said if isinstance(said, int) and FIRST_SEED <= said <= LAST_SEED else FIRST_SEED


def attempts() -> dict[tuple[str, int], Attempt]:
    """What this visitor answered, by exercise and seed: it never leaves the session."""
    held: dict[tuple[str, int], Attempt] = st.session_state.setdefault(_ATTEMPTS, {})
    return held


def attempt(exercise: Exercise) -> Attempt:
    """The last answer to the exercise at this seed."""
    return attempts().get((exercise.slug, seed()), Attempt())


def answered(exercise: Exercise, task: Task, key: str) -> None:
    """Keep an answer and what it means: for the callback of the button that checks."""
    before = attempt(exercise)
    given = st.session_state.get(key)
    if task.asked.kind == "choice":
        error = "" if given is not None else "Choose one of them."
        found = Attempt("", None if given is None else float(given), error, before.solved)
    else:
        text = str(given or "")
        try:
            found = Attempt(text, read(task.asked, text), "", before.solved)
        except ValueError as wrong:
            found = Attempt(text, None, str(wrong), before.solved)
    attempts()[exercise.slug, seed()] = found


def solve(exercise: Exercise) -> None:
    """Show the solution though the answer was not right."""
    attempts()[exercise.slug, seed()] = replace(attempt(exercise), solved=True)


def redraw(exercise: Exercise) -> None:
    """Draw other numbers for the exercise."""
    carry.step()
    st.session_state[SEED] = another(exercise, seed())


def go(to: int) -> None:
    """Go to another exercise of the level."""
    carry.step()
    st.session_state[NUMBER] = str(to)


def level_chosen() -> None:
    """Another level begins with its first exercise."""
    st.session_state[NUMBER] = "1"


def right(exercise: Exercise) -> bool | None:
    """Whether the exercise was answered rightly at any seed; None where it was not tried."""
    grades = [
        check(exercise.task(at), one.value).grade == "right"
        for (slug, at), one in attempts().items()
        if slug == exercise.slug and one.value is not None
    ]
    return any(grades) if grades else None
