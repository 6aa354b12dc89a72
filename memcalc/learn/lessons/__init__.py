"""The lessons, in their order. Each is a module of its own: its question, its figure, its formula, what to remember."""

from memcalc.learn.lesson import Lesson
from memcalc.learn.lessons import saving, where

LESSONS: tuple[Lesson, ...] = (where.LESSON, saving.LESSON)
