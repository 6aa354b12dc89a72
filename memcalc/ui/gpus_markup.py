"""The live page's cards as HTML: one block for all of them, drawn once for all visitors of a moment.

Everything that comes from the driver passes ``escape``. The classes are in ``assets/gpus.css``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from importlib.resources import files

from memcalc import units
from memcalc.hardware.live import LiveGpu
from memcalc.hardware.sampler import KEEP, Seen, View
from memcalc.ui import words
from memcalc.ui.colours import COLOURS, LABELS, OTHERS_COLOUR, OTHERS_LABEL
from memcalc.ui.gpus_curves import curves
from memcalc.ui.gpus_fit import Judged, difference
from memcalc.ui.ledger import shown_parts

#: Processes listed on a card; the rest is counted.
LISTED = 3
_SIGNS = {"fits": ("✓", "mc-fits"), "tight": ("!", "mc-tight"), "does not fit": ("✕", "mc-over"), "unknown": ("", "")}


@lru_cache(maxsize=1)
def style() -> str:
    """The style sheet of the page, as an element."""
    return f"<style>{(files('memcalc.ui') / 'assets' / 'gpus.css').read_text(encoding='utf-8')}</style>"


def age(seconds: float) -> str:
    """How old a figure is: ``"12 s"``, ``"3 min"``."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def status(view: View, host: str, every: float, old: float | None) -> str:
    """The line above the cards: which machine, which driver, how fresh. ``old``: seconds, where worth saying."""
    reading = view.reading
    facts = [f"<b>{escape(host)}</b>"]
    if reading.driver:
        facts.append(f"driver {escape(reading.driver)}")
    if reading.cuda:
        facts.append(f"CUDA up to {escape(reading.cuda)}")
    if view.devices:
        free = sum(one.gpu.free or 0 for one in view.devices if not one.why)
        count = sum(1 for one in view.devices if not one.why)
        facts.append(f"{count} {'device' if count == 1 else 'devices'} with {units.binary(free)} free")
    facts.append(
        f"read every {every:g} s, curves of {KEEP / 60:.0f} min" if old is None else f"last read {age(old)} ago"
    )
    state = "mc-live" if old is None and not view.trouble and reading.gpus else "mc-stale"
    said = [line for line in (view.trouble, reading.note if view.devices else "") if line]
    notes = "".join(f'<p class="mc-note">{escape(line)}</p>' for line in said)
    dot = f'<span class="mc-dot {state}" aria-hidden="true"></span>'
    return f'<p class="mc-status">{dot}{" · ".join(facts)}</p>{notes}'


def legend(runs: Sequence[Judged]) -> str:
    """Names beside their colours, for the bars of estimates."""
    parts = shown_parts([one.run for one in runs])
    chips = [f'<li><span class="mc-swatch mc-others" aria-hidden="true"></span>{OTHERS_LABEL}</li>']
    chips += [
        f'<li><span class="mc-swatch" aria-hidden="true" style="background:{COLOURS[part]}"></span>{LABELS[part]}</li>'
        for part in parts
    ]
    return f'<ul class="mc-legend" aria-label="Colours">{"".join(chips)}</ul>'


def verdict(state: str, sentence: str) -> str:
    """The answer over several cards."""
    sign, name = _SIGNS[state]
    mark = f'<span class="mc-sign" aria-hidden="true">{sign}</span>' if sign else ""
    return f'<p class="mc-over-all {name}">{mark}{escape(sentence)}</p>' if sentence else ""


def cards(
    view: View,
    now: float,
    stale: float,
    names: Mapping[str, str],
    fits: Mapping[str, Judged | str],
    watched: str = "",
) -> str:
    """All devices. ``stale``: seconds from which a figure is old; ``names``: ``cuda:N`` by device; ``fits``: the
    verdict by ``LiveGpu.key``; ``watched``: what to call the watched process."""
    drawn = "".join(_card(one, view, now, stale, names, fits.get(one.gpu.key), watched) for one in view.devices)
    return f'<div class="mc-gpus">{drawn}</div>'


def _card(
    seen: Seen,
    view: View,
    now: float,
    stale: float,
    names: Mapping[str, str],
    fit: Judged | str | None,
    watched: str,
) -> str:
    gpu, old = seen.gpu, now - seen.at
    gone = bool(seen.why) or old > stale
    why = f"{seen.why[:1].upper()}{seen.why[1:]}. " if seen.why else ""
    told = gpu.total is not None
    note = f'<p class="mc-note">{escape(why)}{f"Figures are {age(old)} old." if told else ""}</p>' if gone else ""
    cuda = f'<span class="mc-cuda">{escape(names[gpu.device])}</span>' if names.get(gpu.device) else ""
    body = [
        f"<header><h3>GPU {escape(gpu.device)}</h3>{cuda}<p>{escape(gpu.name)}</p></header>",
        note,
        _memory(gpu),
    ]
    if fit is not None and not gone:
        body.append(_fit(fit, watched))
    body += [curves(gpu, view, now), _facts(gpu), _processes(gpu)]
    kind = "mc-gpu mc-gone" if gone else "mc-gpu"
    return f'<section class="{kind}" aria-label="GPU {escape(gpu.device)}">{"".join(body)}</section>'


def _memory(gpu: LiveGpu) -> str:
    if gpu.total is None or gpu.used is None or gpu.free is None:
        why = gpu.reasons.get("total", "the driver does not say")
        return f'<p class="mc-free"><b>–</b> {escape(why)}</p>'
    shared = " (shared with the CPU)" if gpu.unified else ""
    kept = f", driver keeps {units.binary(gpu.reserved)}" if gpu.reserved else ""
    parts = [
        ("mc-others", gpu.used, "used"),
        ("", gpu.free, "free"),
        ("mc-kept", gpu.reserved or 0, "driver's reserve"),
    ]
    bar = "".join(
        f'<i class="{name}" style="width:{100 * size / gpu.total:.2f}%" title="{what}: {units.both(size)}"></i>'
        for name, size, what in parts
        if size > 0
    )
    said = f"{units.both(gpu.used)} used, {units.both(gpu.free)} free, of {units.both(gpu.total)}{shared}{kept}"
    return (
        f'<p class="mc-free"><b>{units.binary(gpu.free)}</b> free of {units.binary(gpu.total)}{shared}</p>'
        f'<div class="mc-bar" role="img" aria-label="{escape(said)}">{bar}</div>'
        f'<p class="mc-small">{units.binary(gpu.used)} used{kept}</p>'
    )


def _fit(fit: Judged | str, watched: str) -> str:
    if isinstance(fit, str):
        return f'<p class="mc-small">No verdict: {escape(fit)}</p>'
    run = fit.run
    said = words.verdict(run, "")
    sign, name = _SIGNS[said.state]
    parts = [(OTHERS_LABEL, "mc-others", OTHERS_COLOUR, fit.others)]
    parts += [(LABELS[part], "", COLOURS[part], size) for part, size in run.peak.parts.items()]
    most = fit.others + max(run.device, run.range[1], fit.own_peak or 0)
    axis = max(fit.usable, most)
    bar = "".join(
        f'<i class="{kind}" style="width:{100 * size / axis:.2f}%;{"" if kind else f"background:{colour}"}" '
        f'title="{label}: {units.both(size)}"></i>'
        for label, kind, colour, size in parts
        if size > 0
    )
    marks = _mark(fit.usable / axis, "mc-limit", f"the card's end: {units.both(fit.usable)}")
    if fit.own is not None:
        marks += _mark((fit.others + fit.own) / axis, "mc-measured", f"measured: {units.both(fit.own)}")
    listed = ", ".join(f"{label} {units.binary(size)}" for label, _, _, size in parts if size > 0)
    more = f'<p class="mc-small">{escape(difference(fit, watched))}</p>' if watched and fit.own_peak else ""
    measured = '<span class="mc-cuda">measured context</span>' if fit.measured else ""
    spoken = escape(f"{listed}; of {units.both(fit.usable)}")
    return (
        f'<p class="mc-fit {name}"><span aria-hidden="true">{sign}</span> {run.title} {escape(said.headline)}'
        f'{measured}</p><div class="mc-bar mc-stack" role="img" aria-label="{spoken}">{bar}{marks}</div>'
        f'<p class="mc-small">{words.size_of(run)} in the {escape(run.peak.short)}</p>{more}'
    )


def _mark(share: float, name: str, said: str) -> str:
    return f'<u class="{name}" style="left:{100 * min(share, 1):.2f}%" title="{said}"></u>'


def _facts(gpu: LiveGpu) -> str:
    whole = " (whole GPU)" if gpu.mig else ""
    limit = f" of {gpu.power_limit:.0f} W" if gpu.power_limit else ""
    facts = [
        ("busy", f"{gpu.utilisation} %" if gpu.utilisation is not None else None, "utilisation"),
        ("temperature", f"{gpu.temperature} °C{whole}" if gpu.temperature is not None else None, "temperature"),
        ("power", f"{gpu.power:.0f} W{limit}{whole}" if gpu.power is not None else None, "power"),
    ]
    if gpu.compute_capability:
        facts.append(("compute capability", "{}.{}".format(*gpu.compute_capability), ""))
    cells = ""
    for what, value, field in facts:
        why = gpu.reasons.get(field, "the driver does not say")
        shown = escape(value) if value is not None else f"– <small>{escape(why)}</small>"
        cells += f"<div><dt>{what}</dt><dd>{shown}</dd></div>"
    return f'<dl class="mc-figures">{cells}</dl>'


def _processes(gpu: LiveGpu) -> str:
    if gpu.processes is None:
        why = gpu.reasons.get("processes", "the driver does not say")
        return f'<p class="mc-small">Processes: – {escape(why)}</p>'
    if not gpu.processes:
        return '<p class="mc-small">No process is on it.</p>'
    rows = "".join(
        f"<li><span>{escape(one.name or 'a process')} <small>{one.pid}</small></span>"
        f"<span>{units.binary(one.memory) if one.memory is not None else '–'}</span></li>"
        for one in gpu.processes[:LISTED]
    )
    more = len(gpu.processes) - LISTED
    rest = f"<li><span>and {more} more</span></li>" if more > 0 else ""
    return f'<ul class="mc-processes" aria-label="Processes">{rows}{rest}</ul>'
