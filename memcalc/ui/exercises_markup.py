"""The parts of an exercise that are plain HTML. Everything passes ``escape``; the classes are in
``assets/exercises.css``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from importlib.resources import files

from memcalc.learn.exercises.answers import shown
from memcalc.learn.exercises.check import Checked
from memcalc.learn.exercises.exercise import Task
from memcalc.ui import learn_markup

_GRADES = {"right": ("✓", "mc-good"), "near": ("≈", ""), "far": ("✕", "mc-bad"), "wrong": ("✕", "mc-bad")}
_DONE = {True: ("✓", "right"), False: ("✕", "not right yet"), None: ("", "not tried yet")}


@lru_cache(maxsize=1)
def style() -> str:
    """The style sheet of lessons, and what exercises have besides."""
    own = (files("memcalc.ui") / "assets" / "exercises.css").read_text(encoding="utf-8")
    return f"{learn_markup.style()}<style>{own}</style>"


def question(number: int, title: str, task: Task) -> str:
    """The exercise's title, its question, and what is given."""
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in task.given)
    return (
        f'<header class="mc-lesson"><h2>{number}. {escape(title)}</h2><p>{escape(task.text)}</p></header>'
        f'<table class="mc-given"><caption>What is given</caption><tbody>{rows}</tbody></table>'
    )


def error(text: str) -> str:
    """A word beside the field about what cannot be read."""
    return f'<p class="mc-feedback mc-bad" role="alert"><span aria-hidden="true">!</span> <b>{escape(text)}</b></p>'


def feedback(found: Checked, understood: str) -> str:
    """How near the answer is, and what it looks like."""
    sign, name = _GRADES[found.grade]
    words = " ".join(filter(None, (found.words, understood)))
    return (
        f'<p class="mc-feedback {name}" role="status"><span aria-hidden="true">{sign}</span> '
        f"<b>{escape(found.headline)}</b> {escape(words)}</p>"
    )


def solution(task: Task, value: float | None) -> str:
    """The solution step by step, memcalc's answer beside the reader's, and what to take along."""
    rows = "".join(
        f'<tr class="{"mc-sum" if one.total else ""}"><th scope="row">{escape(one.name)}</th>'
        f"<td>{escape(one.formula)}</td><td>{escape(one.figures)}</td><td>{escape(one.value)}</td></tr>"
        for one in task.steps
    )
    own = "" if value is None else f"<dt>Your answer</dt><dd>{escape(shown(task.asked, value))}</dd>"
    return (
        '<section class="mc-solution"><h3>Solution</h3><div class="mc-steps" role="region" tabindex="0" '
        'aria-label="Solution, step by step"><table class="mc-formula-table"><thead><tr><th scope="col">step</th>'
        '<th scope="col">formula</th><th scope="col">with today’s numbers</th><th scope="col">comes to</th></tr>'
        "</thead>"
        f"<tbody>{rows}</tbody></table></div>"
        f"<dl>{own}<dt>memcalc</dt><dd>{escape(shown(task.asked, task.answer))}</dd></dl>"
        f"<p>{escape(task.rest)}</p><p><b>To remember:</b> {escape(task.learned)}</p></section>"
    )


def progress(listed: Sequence[tuple[str, bool | None]]) -> str:
    """The level's exercises, with what became of them in words."""
    items = "".join(
        f'<li value="{at}"><span aria-hidden="true">{_DONE[done][0]}</span> {escape(title)} '
        f"<small>{_DONE[done][1]}</small></li>"
        for at, (title, done) in enumerate(listed, 1)
    )
    done = sum(1 for _, one in listed if one)
    return (
        f'<section class="mc-progress"><h3>{done} of {len(listed)} right</h3><ol>{items}</ol>'
        "<p>Answers stay in this browser tab; nothing is collected.</p></section>"
    )
