"""A level's exercises on paper: one HTML file that stands alone, black on white, for A4; with solutions or without.

Everything in it is text that passes ``escape``; the only picture is a QR code made here. It needs no network.
"""

from __future__ import annotations

from html import escape
from typing import Final

from memcalc.learn.exercises import LEVELS, Exercise, Level, of
from memcalc.learn.exercises.answers import shown
from memcalc.learn.exercises.check import wanted
from memcalc.learn.exercises.exercise import FIRST_SEED, LAST_SEED, Task
from memcalc.learn.glossary import TERMS
from memcalc.learn.lessons import LESSONS
from memcalc.learn.link import code

STYLE: Final = """
@page { size: A4; margin: 16mm 18mm; }
:root { color-scheme: light; }
body {
  font: 11pt/1.4 Georgia, "Times New Roman", serif; color: #000; background: #fff;
  max-width: 174mm; margin: 8mm auto; padding: 0 4mm;
}
h1 { font-size: 17pt; margin: 0; } h2 { font-size: 12.5pt; margin: 0 0 1mm; } h3 { font-size: 11pt; margin: 2mm 0 1mm; }
p { margin: 0 0 1.5mm; }
header { display: flex; gap: 6mm; align-items: flex-start; border-bottom: .4mm solid #000; padding-bottom: 3mm; }
header > div { flex: 1; } header img { width: 26mm; height: 26mm; } header small { overflow-wrap: anywhere; }
.name { margin: 4mm 0 0; } .name span, .answer span { display: inline-block; border-bottom: .3mm solid #000; }
.name .long { width: 70mm; } .name .short { width: 30mm; } .answer span { width: 45mm; }
section { break-inside: avoid; padding: 4mm 0; border-bottom: .2mm solid #777; }
table { border-collapse: collapse; margin: 0 0 2mm; font-size: 10pt; }
th, td { text-align: left; font-weight: normal; padding: .4mm 5mm .4mm 0; vertical-align: baseline; }
td { font-variant-numeric: tabular-nums; } .steps td:last-child { text-align: right; padding-right: 0; }
.steps :is(th, td:last-child) { white-space: nowrap; }
.steps .sum > * { font-weight: bold; border-top: .3mm solid #000; }
.room { height: 16mm; } .hint, .lesson { font-size: 9.5pt; }
ol.choices { list-style: none; margin: 0 0 2mm; padding: 0; }
.solution { border-left: .8mm solid #000; padding-left: 4mm; margin-top: 2mm; }
dl { font-size: 9.5pt; } dt { font-weight: bold; float: left; margin-right: 2mm; } dd { margin: 0 0 1mm; }
"""


def sheet(level: Level, seed: int, solutions: bool = False, link: str = "") -> str:
    """The sheet of a level. ``link``: where the same exercises are answered and checked, printed as it is and as a
    QR code; left out where it is empty."""
    if level not in LEVELS or not FIRST_SEED <= seed <= LAST_SEED:
        raise ValueError(f"level: one of {', '.join(LEVELS)}; seed: {FIRST_SEED} to {LAST_SEED}")
    exercises = of(level)
    body = "".join(_exercise(at, one, one.task(seed), solutions) for at, one in enumerate(exercises, 1))
    title = f"Memory of a GPU: exercises, {level}, sheet {seed}" + (", with solutions" if solutions else "")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"{_head(level, seed, solutions, link)}<main>{body}{_words(exercises)}</main></body></html>\n"
    )


def _head(level: Level, seed: int, solutions: bool, link: str) -> str:
    name = "" if solutions else (
        '<p class="name">Name <span class="long">&nbsp;</span> Date <span class="short">&nbsp;</span></p>'
    )  # fmt: skip
    code_of = (
        f'<div style="flex:none;text-align:center"><img src="{escape(code(link))}" alt="QR code of the link"></div>'
        if link
        else ""
    )
    place = f"<br><small>Check your answers at {escape(link)}</small>" if link else ""
    return (
        f"<header><div><h1>Memory of a GPU: {escape(level)}{', with solutions' if solutions else ''}</h1>"
        f"<p>{escape(LEVELS[level])} Sheet {seed}. Estimate first: within 10 % is right where nothing else is said. "
        f"1 GiB = 1024³ bytes, 1 GB = 10⁹ bytes.{place}</p>{name}</div>{code_of}</header>"
    )


def _exercise(at: int, one: Exercise, task: Task, solutions: bool) -> str:
    lesson = LESSONS[one.lesson - 1].title
    return (
        f"<section><h2>{at}. {escape(one.title)}</h2><p>{escape(task.text)}</p>{_given(task)}"
        + ("" if solutions else _room(task))
        + f'<p class="hint"><b>Hint.</b> {escape(task.hint)}</p>'
        f'<p class="lesson">Lesson {one.lesson} helps: {escape(lesson)}</p>'
        + (_solution(task) if solutions else "")
        + "</section>"
    )


def _given(task: Task) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in task.given)
    listed = "".join(f"<li>☐ {escape(text)}</li>" for text in task.asked.choices)
    return f"<table><tbody>{rows}</tbody></table>" + (f'<ol class="choices">{listed}</ol>' if listed else "")


def _room(task: Task) -> str:
    """Where to work and to write the answer."""
    if task.asked.kind == "choice":
        return ""
    return (
        f'<div class="room"></div><p class="answer">Answer: <span>&nbsp;</span> {escape(task.asked.unit)}'
        f"{escape(wanted(task.asked))}</p>"
    )


def _solution(task: Task) -> str:
    rows = "".join(
        f'<tr class="{"sum" if one.total else ""}"><th scope="row">{escape(one.name)}</th>'
        f"<td>{escape(one.formula)}</td><td>{escape(one.figures)}</td><td>{escape(one.value)}</td></tr>"
        for one in task.steps
    )
    return (
        f'<div class="solution"><h3>Solution</h3><table class="steps"><tbody>{rows}</tbody></table>'
        f"<p><b>memcalc: {escape(shown(task.asked, task.answer))}.</b> {escape(task.rest)}</p>"
        f"<p>{escape(task.learned)}</p></div>"
    )


def _words(exercises: tuple[Exercise, ...]) -> str:
    """The words that the sheet needs, each in a sentence."""
    names = sorted({term for one in exercises for term in one.terms}, key=str.casefold)
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(TERMS[name].sentence)}</dd>" for name in names)
    return f"<section><h2>Words</h2><dl>{listed}</dl></section>"
