"""An estimate and a trace side by side, and what the trace saw at the peak, as HTML. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from memcalc import units
from memcalc.ui.colours import COLOURS, COMPONENTS, LABELS

Rows = list[tuple[str, str, str, str]]


def difference(estimated: int, traced: int) -> str:
    """Of the estimate, in words: ``equal``, ``+0.03%``, ``-12 B``."""
    if estimated == traced:
        return "equal"
    share = (estimated - traced) / traced if traced else 1.0
    return f"{share:+.2%}" if abs(share) >= 0.00005 else f"{estimated - traced:+,} B"


def rows(estimate: Mapping[str, Any], trace: Mapping[str, Any]) -> Rows:
    """What both say: the peak of the tensors, its parts, parameters, the phase; then what is above the tensors."""
    one, other = estimate["peak"], trace["peak"]
    found: Rows = [row("tensors at the peak", one["tensors"], other["tensors"])]
    for part in COMPONENTS:
        mine, theirs = estimate["at_peak"][part], trace["at_peak"][part]
        if mine or theirs:
            found.append(row(LABELS[part], mine, theirs))
    mine, theirs = (f"{peak['phase']}, step {peak['step']}" for peak in (one, other))
    found.append(("highest in", mine, theirs, "equal" if mine == theirs else "differs"))
    counts = estimate["parameters"]["total"], trace["parameters"]["total"]
    found.append(("parameters", f"{counts[0]:,}", f"{counts[1]:,}", difference(*counts)))
    found.append(row("allocated", one["allocated"], other["allocated"]))
    found.append(row("reserved", one["reserved"], other["reserved"]))
    return found


def row(name: str, mine: int, theirs: int) -> tuple[str, str, str, str]:
    return name, units.binary(mine), units.binary(theirs), difference(mine, theirs)


def table(rows: Rows, caption: str, aside: str = "") -> str:
    """Rows of name, estimate, trace, difference; everything in it is escaped."""
    body = "".join(
        f'<tr><th scope="row">{_swatch(name)}{escape(name)}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in values)
        + "</tr>"
        for name, *values in rows
    )
    return (
        '<div class="mc-tables"><div><table>'
        f"<caption><b>{escape(caption)}</b>{escape(aside)}</caption>"
        '<thead><tr><td></td><th scope="col">estimate</th><th scope="col">trace</th>'
        f'<th scope="col">difference</th></tr></thead><tbody>{body}</tbody></table></div></div>'
    )


def side_by_side(estimate: Mapping[str, Any], trace: Mapping[str, Any]) -> str:
    """Both answers as a table."""
    aside = f", traced in {trace['seconds']:g} s" if "seconds" in trace else ""
    return table(rows(estimate, trace), "Checked by tracing", aside)


def _swatch(name: str) -> str:
    part = next((one for one in COMPONENTS if LABELS[one] == name), None)
    return f'<span class="mc-swatch" aria-hidden="true" style="background:{COLOURS[part]}"></span>' if part else ""


def largest(trace: Mapping[str, Any], most: int = 20) -> str:
    """The largest live tensors at the traced peak, with the operation that made each."""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("size", "of", "made by", "in", "shape", "format"))
    body = "".join(_tensor(one) for one in trace["tensors"][:most])
    return (
        '<div class="mc-tables mc-seen"><div><table><caption><b>Largest tensors at the traced peak</b></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _tensor(one: Mapping[str, Any]) -> str:
    count = int(one["count"])
    size = units.binary(one["bytes"] * count) + (f" ({count} × {units.binary(one['bytes'])})" if count > 1 else "")
    made = one["made_by"] + (f" in {one['node']}" if one["node"] else "")
    shape = " × ".join(str(side) for side in one["shape"]) or "scalar"
    part = LABELS.get(one["component"], one["component"])
    cells = (size, made, one["module"] or one["phase"], shape, one["format"])
    first, *others = (f"<td>{escape(str(cell))}</td>" for cell in cells)
    return f"<tr>{first}<td>{_swatch(part)}{escape(part)}</td>{''.join(others)}</tr>"


def replay_words(peak: Mapping[str, Any], exact: list[int], stated: list[int]) -> str:
    """The simulated allocator's answer beside the closed form's range."""
    inside = "within" if stated[0] <= peak["reserved"] <= stated[1] else "outside"
    return (
        f'<p class="mc-why">Tensor by tensor through a simulated caching allocator: <b>{units.binary(peak["reserved"])}'
        f"</b> reserved for {units.binary(peak['allocated'])} allocated, {inside} the quick answer's "
        f"{units.binary(stated[0])} to {units.binary(stated[1])}. With expandable segments about "
        f"{units.binary(exact[0])}. Simulated, not measured on a card.</p>"
    )
