"""The parts of a page that are plain HTML: verdicts, the legend, the table. No Streamlit in here.

One block of HTML costs the browser far less than a dozen Streamlit elements, and a slider redraws all of
them. Everything that comes from outside passes ``escape``. The classes are in ``assets/style.css``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from importlib.resources import files

from memcalc import units
from memcalc.ui.colours import COLOURS, LABELS, OTHERS_LABEL
from memcalc.ui.formulas import formula
from memcalc.ui.ledger import Run, shown_parts
from memcalc.ui.words import Verdict

#: Sign and class of a verdict; its words say the same.
_SIGNS = {"fits": ("✓", "mc-fits"), "tight": ("!", "mc-tight"), "does not fit": ("✕", "mc-over"), "unknown": ("", "")}


@lru_cache(maxsize=1)
def style() -> str:
    """The style sheet, as an element."""
    return f"<style>{(files('memcalc.ui') / 'assets' / 'style.css').read_text(encoding='utf-8')}</style>"


def verdicts(said: Mapping[str, Verdict | None]) -> str:
    """A card for each run: the answer in a headline, its numbers below."""
    cards = "".join(_verdict(title, one) for title, one in said.items())
    return f'<div class="mc-verdicts">{cards}</div>'


def _verdict(title: str, said: Verdict | None) -> str:
    if said is None:
        why = "These settings do not go together: see the note beside them."
        return f'<section class="mc-verdict"><h2>{title}: no answer</h2><p>{why}</p></section>'
    sign, name = _SIGNS[said.state]
    mark = f'<span class="mc-sign" aria-hidden="true">{sign}</span>' if sign else ""
    return (
        f'<section class="mc-verdict {name}"><h2>{mark}{title} {escape(said.headline)}</h2>'
        f"<p>{escape(said.detail)}</p></section>"
    )


def _swatch(part: str) -> str:
    return f'<span class="mc-swatch" aria-hidden="true" style="background:{COLOURS[part]}"></span>'


def legend(runs: list[Run], why: str) -> str:
    """The reason in a sentence or two, and names beside their colours."""
    chips = "".join(f"<li>{_swatch(part)}{LABELS[part]}</li>" for part in shown_parts(runs))
    if any((one.estimate.get("fit") or {}).get("used_by_others") for one in runs):
        chips = f'<li><span class="mc-swatch mc-others" aria-hidden="true"></span>{OTHERS_LABEL}</li>{chips}'
    reason = f'<p class="mc-why">{escape(why)}</p>' if why else ""
    return f'{reason}<ul class="mc-legend" aria-label="Colours">{chips}</ul>'


def table(runs: list[Run]) -> str:
    """The same figures as the bars, and where they come from."""
    tables = "".join(_table(one) for one in runs)
    return f'<div class="mc-tables">{tables}</div>'


def _table(one: Run) -> str:
    head = "".join(_cell("th", escape(bar.phase), bar.highest) for bar in one.bars)
    body = "".join(_rows(one, part) for part in shown_parts([one]))
    total = "".join(_cell("td", size(bar.total), bar.highest) for bar in one.bars)
    wide = "mc-wide" if len(one.bars) > 2 else ""
    return (
        f'<div class="{wide}"><table>'
        f"<caption><b>{one.title}</b>, at the highest instant of each phase</caption>"
        f"<thead><tr><td></td>{head}</tr></thead>"
        f'<tbody>{body}<tr><th scope="row">total</th>{total}</tr></tbody></table></div>'
    )


def size(number: int) -> str:
    """GiB, and GB on hover; a dash for nothing."""
    return f'<span title="{units.decimal(number)}">{units.binary(number)}</span>' if number else "–"


def _cell(tag: str, text: str, strong: bool) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    mark = ' class="mc-highest"' if strong else ""
    return f"<{tag}{scope}{mark}>{text}</{tag}>"


def _rows(one: Run, part: str) -> str:
    """A component's row, and under it the arithmetic of its largest figure."""
    how = escape(formula(one, max(one.bars, key=lambda bar: bar.parts[part]), part))
    sizes = "".join(_cell("td", size(bar.parts[part]), bar.highest) for bar in one.bars)
    last = "" if how else "mc-last"
    row = f'<tr class="{last}"><th scope="row">{_swatch(part)}{LABELS[part]}</th>{sizes}</tr>'
    if not how:
        return row
    return f'{row}<tr class="mc-last"><td class="mc-how" colspan="{len(one.bars) + 1}">{how}</td></tr>'
