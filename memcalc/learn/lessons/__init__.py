"""The lessons, in their order. Each is a module of its own: its question, its figure, its formula, what to remember."""

from memcalc.learn.lesson import Lesson
from memcalc.learn.lessons import (
    accumulate,
    batch,
    cards,
    context,
    moment,
    precision,
    saving,
    tuning,
    where,
    worth,
)

LESSONS: tuple[Lesson, ...] = (
    where.LESSON,
    saving.LESSON,
    batch.LESSON,
    accumulate.LESSON,
    worth.LESSON,
    precision.LESSON,
    tuning.LESSON,
    context.LESSON,
    moment.LESSON,
    cards.LESSON,
)
