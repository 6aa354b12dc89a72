"""The timeline's tables and cards as plain HTML. Everything that comes from outside passes ``escape``.

Each cell carries the name of its column, which the style sheet shows on a phone, where a row of seven
columns becomes a small card. The classes are in ``assets/timeline.css``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from importlib.resources import files

from memcalc import units
from memcalc.ui.colours import COLOURS, LABELS
from memcalc.ui.markup import size
from memcalc.ui.timeline_bands import Band, Strip
from memcalc.ui.timeline_tensors import Row
from memcalc.ui.timeline_words import phase

#: Rows shown at once; the rest waits behind a fold.
FIRST = 10


@lru_cache(maxsize=1)
def style() -> str:
    """The style sheet of the timeline and the batch view, as an element."""
    return f"<style>{(files('memcalc.ui') / 'assets' / 'timeline.css').read_text(encoding='utf-8')}</style>"


#: Sign and class of a verdict, as on the first page.
_SIGNS = {"fits": ("✓", "mc-fits"), "tight": ("!", "mc-tight"), "does not fit": ("✕", "mc-over")}


def answers(said: Sequence[tuple[str, str, str]]) -> str:
    """A card for each answer: (the verdict's state, a headline, the line below it)."""
    return f'<div class="mc-verdicts mc-of-{len(said)}">{"".join(_answer(*one) for one in said)}</div>'


def _answer(state: str, headline: str, line: str) -> str:
    sign, name = _SIGNS.get(state, ("", ""))
    mark = f'<span class="mc-sign" aria-hidden="true">{sign}</span>' if sign else ""
    return (
        f'<section class="mc-verdict {name}"><h2>{mark}{escape(headline)}</h2>'
        f"<p>{escape(line[:1].upper() + line[1:])}</p></section>"
    )


def why(sentence: str) -> str:
    """The reasons, as a paragraph."""
    return f'<p class="mc-why">{escape(sentence)}</p>'


def swatch(part: str) -> str:
    return f'<span class="mc-swatch" aria-hidden="true" style="background:{COLOURS[part]}"></span>'


def legend(parts: Sequence[str]) -> str:
    """Names beside their colours."""
    chips = "".join(f"<li>{swatch(part)}{LABELS[part]}</li>" for part in parts)
    return f'<ul class="mc-legend" aria-label="Colours">{chips}</ul>'


def cell(name: str, text: str, kind: str = "") -> str:
    """A cell that knows its column's name; ``text`` is HTML already."""
    return f'<td data-name="{escape(name)}"{f" class={kind!r}" if kind else ""}>{text}</td>'


def table(caption: str, columns: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    """A table from rows that are HTML already."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in columns)
    return (
        f'<table class="mc-list {kind}"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def phases(strip: Strip) -> str:
    """The chart's figures: each phase at its highest instant."""
    columns = ["phase", "highest in", "in all", *(LABELS[part] for part in strip.parts)]
    shown = [_phase(strip, band) for band in strip.bands]
    return table("<b>Each phase at its highest instant</b>", columns, shown, "mc-phases")


def _phase(strip: Strip, band: Band) -> str:
    top = band.top
    step = {1: ", first step"}.get(band.step, ", later steps") if strip.task == "train" and band.step else ""
    name = band.title if band.phase == "decode" else phase(band)
    cells = [
        cell("highest in", escape(top.label) if len(band.steps) > 1 else "–"),
        cell("in all", f"<b>{size(top.total)}</b>"),
        *(cell(LABELS[part], size(top.parts[part]), "" if top.parts[part] else "mc-none") for part in strip.parts),
    ]
    mark = ' class="mc-top"' if top.highest else ""
    return f'<tr{mark}><th scope="row">{escape(name)}{step}</th>{"".join(cells)}</tr>'


TENSOR_COLUMNS = ("tensor", "count", "shape", "format", "size", "formula", "source")


def tensors(rows: Sequence[Row], what: str) -> str:
    """The tensors of the highest instant, largest first; beyond the first ten behind a fold."""
    total = sum(row.total for row in rows)
    caption = f"<b>Tensors at the highest instant</b>: {escape(what)}, {size(total)}, largest first"
    shown = [_tensor(row, total) for row in rows]
    text = table(caption, TENSOR_COLUMNS, shown[:FIRST], "mc-tensors")
    rest = rows[FIRST:]
    if rest:
        more = f"{len(rest)} smaller ones, {units.binary(sum(row.total for row in rest))} together"
        text += f"<details><summary>{more}</summary>{table(more, TENSOR_COLUMNS, shown[FIRST:], 'mc-tensors mc-more')}</details>"  # noqa: E501
    return text


def _tensor(row: Row, total: int) -> str:
    details = ", ".join(one for one in (row.where, f"made by {row.made}" if row.made else "") if one)
    name = f"{swatch(row.component)}{escape(row.name)}"
    if details:
        name += f'<small class="mc-where">{escape(details)}</small>'
    share = f"{row.total / total:.0%}" if total else ""
    cells = [
        _known("count", f"{row.count:,}" if row.shape else ""),
        _known("shape", row.shape),
        _known("format", row.format),
        cell("size", f'<b>{size(row.total)}</b> <small class="mc-share">{share}</small>'),
        _known("formula", row.formula, "mc-formula"),
        _known("source", row.source, "mc-formula"),
    ]
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _known(name: str, text: str, kind: str = "") -> str:
    """A cell that a phone leaves out if there is nothing in it."""
    return cell(name, escape(text), kind) if text else cell(name, "–", "mc-none")
