"""How near an estimate is, and which mistake it looks like."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Final, Literal

from memcalc import units
from memcalc.learn.exercises.answers import shown
from memcalc.learn.exercises.exercise import RIGHT, Asked, Slip, Task

Grade = Literal["right", "near", "far", "wrong"]
FACTOR_NEAR: Final = 2.0
FACTOR_FAR: Final = 10.0
POINTS_RIGHT, POINTS_NEAR = 5.0, 15.0
"""Percentage points."""
LIKE: Final = 0.03
"""How near an estimate must be to a known mistake to be taken for it: figures are rounded to three digits."""
GIB_FOR_GB: Final = units.GiB / units.GB
"""1.0737…: what an answer is off by when the two units are taken for one."""
UNITS: Final = (
    (GIB_FOR_GB, "It looks like billions of bytes (GB) written as GiB: divide by 1024³, not by 10⁹."),
    (1 / GIB_FOR_GB, "It looks like GiB written as GB: 1 GiB is 1.074 GB."),
    (1024.0, "It is a thousand times too much: MiB written as GiB?"),
    (1 / 1024, "It is a thousandth of it: GiB written as MiB?"),
    (8.0, "It is eight times too much: a byte has 8 bits, and the formats are named by their bits."),
    (1 / 8, "It is an eighth of it: divided by 8 where bytes were counted already?"),
)
"""Mistakes with units that any size may have, by the factor that they make."""


@dataclass(frozen=True)
class Checked:
    """``headline``: how near it is. ``words``: which mistake it looks like, or how to go on; may be empty."""

    grade: Grade
    headline: str
    words: str = ""


def check(task: Task, value: float) -> Checked:
    """Compare an estimate (as ``answers.read`` gives it, or a choice's index) with memcalc's. One of the exercise's own
    mistakes is never right, however near it comes to the answer: it is what the exercise is about."""
    asked = task.asked
    grade = _grade(asked, value, task.answer)
    slip = _slip(task, value, grade)
    if grade == "right" and slip in {one.words for one in task.slips}:
        grade = "near"
    headline = _headline(asked, value, task.answer, grade)
    if grade == "right" and slip:
        headline = f"{headline.removesuffix('.')}, but not exact."
    return Checked(grade, headline, slip or _onward(asked, value, task.answer, grade))


def _grade(asked: Asked, value: float, answer: float) -> Grade:
    if asked.kind == "choice":
        return "right" if value == answer else "wrong"
    if asked.kind == "percent":
        off = abs(value - answer)
        return "right" if off <= POINTS_RIGHT else "near" if off <= POINTS_NEAR else "far"
    if asked.kind == "whole" and value == round(answer):
        return "right"
    ratio = max(value / answer, answer / value)
    if asked.kind != "whole" and ratio <= 1 + asked.right:
        return "right"
    return "near" if ratio <= FACTOR_NEAR else "far" if ratio <= FACTOR_FAR else "wrong"


def _headline(asked: Asked, value: float, answer: float, grade: Grade) -> str:
    if asked.kind == "choice":
        return "Right." if grade == "right" else "Not this one."
    if asked.kind == "percent":
        return {
            "right": f"Right: within {POINTS_RIGHT:.0f} percentage points.",
            "near": f"Near: within {POINTS_NEAR:.0f} percentage points.",
        }.get(grade, f"Not yet: more than {POINTS_NEAR:.0f} percentage points off.")
    if grade == "right":
        if asked.kind == "whole":
            return "Right."
        return f"Right: within {100 * asked.right:.3g} %."
    way = "too much" if value > answer else "too little"
    if grade == "near":
        return f"Near: within a factor of {FACTOR_NEAR:.0f}, but {way}."
    if grade == "far":
        return f"Not yet: {way}, by a factor of more than {FACTOR_NEAR:.0f}."
    return f"Far off: {way}, by a factor of more than {FACTOR_FAR:.0f}."


def _slip(task: Task, value: float, grade: Grade) -> str:
    """A word about the mistake that the estimate looks like, if it is nearer to it than to what is right."""
    asked = task.asked
    if asked.kind in ("choice", "percent", "whole"):
        margin = {"choice": 0.0, "percent": 1.5, "whole": 0.0}[asked.kind]
        found = [one for one in task.slips if abs(value - one.value) <= margin and one.value != task.answer]
        return found[0].words if found and grade != "right" else ""
    known = [*task.slips]
    if asked.kind == "size":
        known += [Slip(base * factor, words) for factor, words in UNITS for base in (task.by_hand, task.answer)]
    own = min(abs(log(value / task.answer)), abs(log(value / task.by_hand)))
    like = [(distance, one.words) for one in known if one.value > 0
            and (distance := abs(log(value / one.value))) <= LIKE and distance < own]  # fmt: skip
    return min(like, default=(0.0, ""))[1]


def _onward(asked: Asked, value: float, answer: float, grade: Grade) -> str:
    """How to go on where no mistake is recognised."""
    if grade == "right":
        return ""
    if asked.kind == "choice":
        return "The hint says where to look."
    if asked.kind == "whole" and abs(value - answer) == 1:
        return "One off: does the last one still fit whole?"
    if grade == "wrong":
        return "Look at the units first: bits or bytes, MiB or GiB, thousands or millions."
    if value > answer:
        return "Something is counted that is not there, or counted twice."
    return "Something is left out: go through what is stored, and how often."


def wanted(asked: Asked) -> str:
    """How near an answer has to be, where it is not the usual; in brackets, after a space."""
    if asked.kind == "whole":
        return " (exactly)"
    if asked.kind == "percent":
        return f" (within {POINTS_RIGHT:.0f} percentage points)"
    return f" (within {100 * asked.right:.3g} %)" if asked.right != RIGHT else ""


def read_as(asked: Asked, value: float) -> str:
    """What was understood, beside what was written."""
    return f"Understood as {shown(asked, value)}."
