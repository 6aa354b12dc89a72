"""What comes out: verdicts in words, the bars, the table, what was assumed."""

from __future__ import annotations

from html import escape

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import memcalc
from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.ui import figures, words
from memcalc.ui.colours import COLOURS, LABELS
from memcalc.ui.controls import Controls
from memcalc.ui.formulas import formula
from memcalc.ui.ledger import Run, run, shown_parts
from memcalc.ui.plain_figure import PlainFigure

#: Sign and tint of a verdict; its words say the same.
_SIGNS = {
    "fits": (":material/check_circle:", "green"),
    "tight": (":material/warning:", "orange"),
    "does not fit": (":material/cancel:", "red"),
    "unknown": (":material/memory:", "gray"),
}


def estimates(controls: Controls) -> dict[str, Run]:
    """Ask the core for both runs; what it refuses is said at the control concerned."""
    runs: dict[str, Run] = {}
    said: set[str] = set()
    settings = controls.settings
    for title, scenario in (("Training", settings.training()), ("Inference", settings.inference())):
        try:
            runs[title] = run(title, memcalc.estimate(scenario, allow_files=False).as_dict())
        except MemcalcError as error:
            place = controls.place_of(error.field)
            if place not in said:
                controls.complain(place, f"{title}: {error.message}")
            said.add(place)
    return runs


def card_of(runs: dict[str, Run], gpu: str | None) -> tuple[str, int | None]:
    """What to call the card, and its capacity as the core understood it."""
    fit = next((one.estimate["fit"] for one in runs.values() if one.estimate.get("fit")), None)
    return (words.card(gpu or "", fit["gpu"]), fit["capacity"]) if fit else ("", None)


def show(runs: dict[str, Run], gpu: str | None, summary: DeltaGenerator) -> None:
    """Everything about the result: verdicts in ``summary``, then the reason, the bars, figures, assumptions."""
    card, capacity = card_of(runs, gpu)
    with summary:
        _verdicts(runs, card)
    shown = list(runs.values())
    if not shown:
        st.info("Nothing to show yet: see the note beside the settings.", icon=":material/info:")
        return
    if len(shown) == 2:
        st.markdown(words.why(runs["Training"], runs["Inference"]))
    st.html(_legend(shown))
    st.plotly_chart(
        PlainFigure(figures.phase_bars(shown, card, capacity)),
        key="phases",
        config=figures.CONFIG,
        alt=words.alternative(shown, card, capacity),
    )
    st.html(_table(shown))
    _assumptions(shown)


def _verdicts(runs: dict[str, Run], card: str) -> None:
    """Two answers side by side; they stay in view on a phone while the controls are moved."""
    for column, title in zip(st.columns(2, wrap=False, gap="small"), ("Training", "Inference"), strict=True):
        with column.container(border=True, key=f"verdict-{title.lower()}", gap="xxsmall", height="stretch"):
            if title not in runs:
                st.markdown(f"### :gray[{title}: no answer]")
                st.caption("These settings do not go together: see the note beside them.")
                continue
            said = words.verdict(runs[title], card)
            icon, tint = _SIGNS[said.state]
            st.markdown(f"### :{tint}[{icon} {title} {said.headline}]")
            st.caption(words.plain(said.detail))


def _legend(runs: list[Run]) -> str:
    """Names beside their colours. All of this text is memcalc's own."""
    chips = "".join(
        f'<li style="display:flex;align-items:center;gap:.4rem"><span style="width:.85rem;height:.85rem;'
        f'border-radius:.2rem;background:{COLOURS[part]}"></span>{LABELS[part]}</li>'
        for part in shown_parts(runs)
    )
    return (
        '<ul aria-label="Colours" style="display:flex;flex-wrap:wrap;gap:.35rem 1rem;list-style:none;'
        f'margin:0;padding:0;font-size:.875rem">{chips}</ul>'
    )


_RULE = "border-bottom:1px solid rgba(122,133,146,.35)"
_NUMBER = "padding:.35rem .4rem;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"
_NAME = "padding:.35rem .4rem;text-align:left;white-space:nowrap;font-weight:400"


def _table(runs: list[Run]) -> str:
    """The same figures as the bars, and where they come from. Numbers and memcalc's own words only."""
    blocks = []
    for one in runs:
        head = "".join(_cell("th", escape(bar.phase), bar.highest, _RULE) for bar in one.bars)
        body = "".join(_lines(one, part) for part in shown_parts([one]))
        total = "".join(_cell("td", units.binary(bar.total), bar.highest, "") for bar in one.bars)
        blocks.append(
            f'<div style="flex:{len(one.bars) + 2} 1 19rem;min-width:0;overflow-x:auto">'
            '<table style="width:100%;border-collapse:collapse;font-size:.875rem">'
            f'<caption style="text-align:left;padding:.35rem .4rem"><b>{one.title}</b>, at the highest instant of '
            f'each phase</caption><thead><tr><th scope="col" style="{_NAME};{_RULE}"></th>{head}</tr></thead>'
            f'<tbody>{body}<tr><th scope="row" style="{_NAME}">total</th>{total}</tr></tbody></table></div>'
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:.5rem 2rem">{"".join(blocks)}</div>'


def _cell(tag: str, text: str, strong: bool, rule: str) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    return f'<{tag}{scope} style="{_NUMBER};{rule};font-weight:{700 if strong else 400}">{text}</{tag}>'


def _lines(one: Run, part: str) -> str:
    """A component's row, and under it the arithmetic of its largest figure."""
    swatch = (
        '<span aria-hidden="true" style="display:inline-block;width:.7rem;height:.7rem;border-radius:.15rem;'
        f'margin-right:.5rem;background:{COLOURS[part]}"></span>'
    )
    largest = max(one.bars, key=lambda bar: bar.parts[part])
    how = escape(formula(one, largest, part))
    rule = "" if how else _RULE
    sizes = "".join(
        _cell("td", units.binary(bar.parts[part]) if bar.parts[part] else "–", bar.highest, rule) for bar in one.bars
    )
    row = f'<tr><th scope="row" style="{_NAME};{rule}">{swatch}{LABELS[part]}</th>{sizes}</tr>'
    if not how:
        return row
    style = f"padding:0 .4rem .35rem 1.6rem;font-size:.8rem;opacity:.85;{_RULE}"
    return row + f'<tr><td colspan="{len(one.bars) + 1}" style="{style}">{how}</td></tr>'


def _assumptions(runs: list[Run]) -> None:
    with st.expander("What this assumes", icon=":material/rule:"):
        for one in runs:
            listed = "\n".join(f"- {words.plain(line)}" for line in one.estimate.get("assumptions", []))
            st.markdown(f"**{one.title}**\n\n{listed or '- nothing beyond the settings'}")
