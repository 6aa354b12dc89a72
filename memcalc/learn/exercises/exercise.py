"""What an exercise is made of. Plain values, no screen: the page and the printed sheet draw them, tests recompute them.

An exercise is drawn anew from a seed: other models, lengths, cards, the same idea. The same seed gives the same numbers
on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal, TypeVar

from memcalc import units
from memcalc.learn.lesson import Link

T = TypeVar("T")
Level = Literal["starter", "practitioner", "engineer"]
LEVELS: Final[Mapping[Level, str]] = {
    "starter": "Multiply what is stored by its bytes.",
    "practitioner": "Say what grows with what: the batch, the text, the trained part.",
    "engineer": "Find the moment that decides, and what is divided there.",
}
FIRST_SEED, LAST_SEED = 1, 9999
"""Seeds are short, so that they can be read out in a classroom."""

Kind = Literal["size", "number", "whole", "percent", "choice"]
RIGHT: Final = 0.10
"""How far a size or a number may be from memcalc's and still be right: what the figures in a question round away, and
what a rule of one line leaves out."""


@dataclass(frozen=True)
class Asked:
    """What is to be found. ``unit``: what a number without one counts (``GiB``, ``parameters``, ``bits``). ``whole``
    numbers are right only exactly; ``percent`` within so many points; ``right`` is the tolerance of the rest.
    ``choices`` are for a choice, whose answer is an index."""

    kind: Kind
    unit: str = ""
    choices: tuple[str, ...] = ()
    right: float = RIGHT


@dataclass(frozen=True)
class Step:
    """One line of the solution: what it is, its formula in words, the same in today's figures (arithmetic that can be
    checked: ``8.03 billion × 2 B``), what it comes to. ``total``: what was asked."""

    name: str
    formula: str
    figures: str
    value: str
    total: bool = False


def exact(size: float) -> str:
    """GiB with two digits after the point, where one size is what is left of others, or counts them."""
    return f"{units.gib(size):.2f} GiB"


def amount(name: str, formula: str, figures: str, size: float, total: bool = False) -> Step:
    """A step that comes to so many bytes."""
    return Step(name, formula, figures, units.binary(size), total)


@dataclass(frozen=True)
class Slip:
    """A likely mistake: what it comes to (in the answer's own measure: bytes, a number, an index), and a helpful word
    about it."""

    value: float
    words: str


@dataclass(frozen=True)
class Task:
    """An exercise with its numbers drawn. ``answer`` is computed by the core from ``scenarios``: bytes, a number, a
    percentage or the index of a choice; ``by_hand`` is what the steps come to, and ``rest`` says what makes the
    difference."""

    text: str
    given: tuple[tuple[str, str], ...]
    asked: Asked
    hint: str
    answer: float
    by_hand: float
    steps: tuple[Step, ...]
    rest: str
    slips: tuple[Slip, ...]
    learned: str
    link: Link
    scenarios: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Draw:
    """Choices that depend on nothing but the seed and the exercise's name."""

    seed: int
    slug: str

    def pick(self, name: str, choices: Sequence[T]) -> T:
        """One of ``choices``, under a name of its own.

        >>> Draw(1, "weights").pick("model", "abc") == Draw(1, "weights").pick("model", "abc")
        True
        """
        digest = sha256(f"{self.slug} {self.seed} {name}".encode()).digest()
        return choices[int.from_bytes(digest[:8], "big") % len(choices)]


@dataclass(frozen=True)
class Exercise:
    """``slug`` names it in a link, ``lesson`` is the number of the lesson that helps, ``draw`` gives the numbers,
    ``terms`` are words of the glossary that it needs."""

    slug: str
    title: str
    level: Level
    lesson: int
    draw: Callable[[Draw], Task]
    terms: tuple[str, ...] = ()

    def task(self, seed: int) -> Task:
        """The exercise with the numbers of a seed."""
        return self.draw(Draw(seed, self.slug))


def another(exercise: Exercise, seed: int) -> int:
    """The next seed with which the exercise has other numbers."""
    now = exercise.task(seed)
    for step in range(1, LAST_SEED):
        found = FIRST_SEED + (seed - FIRST_SEED + step) % LAST_SEED
        task = exercise.task(found)
        if (task.text, task.given) != (now.text, now.given):
            return found
    return seed
