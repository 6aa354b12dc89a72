"""The parts of a lesson that are plain HTML. Everything passes ``escape``; the classes are in ``assets/learn.css``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from importlib.resources import files

from memcalc.learn.lesson import Bars, Curves, Question, Rule, Table, Term
from memcalc.ui.colours import COLOURS, LABELS


@lru_cache(maxsize=1)
def style() -> str:
    """The workshop's style sheet."""
    return f"<style>{(files('memcalc.ui') / 'assets' / 'learn.css').read_text(encoding='utf-8')}</style>"


def head(number: int, title: str, idea: str, level: int = 2) -> str:
    """The lesson's title and its one idea."""
    line = f"<p>{escape(idea)}</p>" if idea else ""
    return f'<header class="mc-lesson"><h{level}>{number}. {escape(title)}</h{level}>{line}</header>'


def choices(question: Question) -> str:
    """The question with lettered choices, for a room that answers by raising hands."""
    listed = "".join(
        f'<li><b aria-hidden="true">{"ABCDEF"[at]}</b>{escape(text)}</li>' for at, text in enumerate(question.choices)
    )
    return f'<section class="mc-question"><p>{escape(question.text)}</p><ol type="A">{listed}</ol></section>'


def verdict(question: Question, answered: int | None) -> str:
    """What becomes of the reader's answer."""
    if answered is None:
        sign, word, name = "", "", ""
    elif answered == question.right:
        sign, word, name = "✓", "Right. ", "mc-good"
    else:
        sign, word, name = "✕", f"Not {question.choices[answered]}. ", "mc-bad"
    mark = f'<span aria-hidden="true">{sign}</span> ' if sign else ""
    return f'<p class="mc-feedback {name}" role="status">{mark}<b>{escape(word)}</b>{escape(question.why)}</p>'


def headline(text: str) -> str:
    return f'<p class="mc-headline">{escape(text)}</p>'


def legend(shown: Bars | Curves) -> str:
    """Names beside their colours, for bars and layers; lines carry their names themselves."""
    if isinstance(shown, Curves) and not shown.stacked:
        return ""
    listed = shown.parts if isinstance(shown, Bars) else [one.part for one in shown.curves]
    chips = "".join(
        f'<li><span class="mc-swatch" aria-hidden="true" style="background:{COLOURS[part]}"></span>{LABELS[part]}</li>'
        for part in listed
    )
    return f'<ul class="mc-legend" aria-label="Colours">{chips}</ul>'


def formula(terms: Sequence[Term]) -> str:
    """The formula, a line a term, with today's numbers; the last line is what it comes to."""
    rows = "".join(
        f'<tr class="{"mc-sum" if one.total else ""}"><th scope="row">{escape(one.name)}</th><td>{escape(one.how)}</td>'
        f"<td>{escape(one.value)}</td></tr>"
        for one in terms
    )
    caption = "<caption>The formula, with today’s numbers</caption>"
    return f'<table class="mc-formula-table">{caption}<tbody>{rows}</tbody></table>'


_HOLDS = {
    True: ("✓", "holds here", "mc-good"),
    False: ("✕", "does not hold here", "mc-bad"),
    None: ("~", "depends", ""),
}


def rules(listed: Sequence[Rule]) -> str:
    """Each rule of thumb with whether it holds here, in words and numbers."""
    items = "".join(map(_rule, listed))
    return f'<section class="mc-rules"><h3>Rules of thumb, examined</h3><ul>{items}</ul></section>' if items else ""


def _rule(one: Rule) -> str:
    sign, said, name = _HOLDS[one.holds]
    state = f'<span class="mc-state"><span aria-hidden="true">{sign}</span> {said}</span>'
    return f'<li class="{name}"><p><b>“{escape(one.text)}”</b> {state}</p><p>{escape(one.sentence)}</p></li>'


def remember(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="mc-remember"><h3>What to remember</h3><ul>{items}</ul></section>'


def notes(lines: Sequence[str]) -> str:
    return "".join(f'<p class="mc-aside">{escape(line)}</p>' for line in lines)


def table(one: Table) -> str:
    """Where something is true; what is true there is written into the cell, not only coloured."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in one.columns)
    rows = []
    for i, row in enumerate(one.rows):
        cells = []
        for j, text in enumerate(row):
            mark = one.marked.get((i, j))
            if j == 0:
                cells.append(f'<th scope="row">{escape(text)}</th>')
            elif mark:
                cells.append(f'<td class="mc-true">{escape(text)}<small>{escape(mark)}</small></td>')
            else:
                cells.append(f"<td>{escape(text)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="mc-map" role="region" tabindex="0" aria-label="{escape(one.caption)}"><table>'
        f"<caption>{escape(one.caption)}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def picture(uri: str, link: str) -> str:
    """The QR code, and the same link as words: to be read aloud, typed, or copied."""
    shown = f'<img src="{escape(uri)}" alt="QR code of the link below">' if uri else "<p>Too long for a QR code:</p>"
    return f'<figure class="mc-code">{shown}<figcaption>{escape(link)}</figcaption></figure>'
