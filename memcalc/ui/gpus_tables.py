"""Tables below the live cards, drawn only when somebody looks: which card is which, and every process."""

from __future__ import annotations

import os
from html import escape

import streamlit as st

from memcalc import units
from memcalc.hardware.order import ORDER, VISIBLE, cuda_order
from memcalc.hardware.sampler import View


def which_is_which(view: View) -> None:
    """The driver's number, the bus, CUDA's number, and how to choose a card for sure."""
    place = st.expander("Which card is which", icon=":material/tag:", key="which", on_change="rerun")
    if not place.open:
        return
    gpus = [one.gpu for one in view.devices]
    order = cuda_order(gpus, os.environ)
    rows = []
    for gpu in gpus:
        number = order.cuda.get(gpu.device)
        cuda = f"cuda:{number}" if number is not None else "hidden" if gpu.device in order.cuda else "–"
        rows.append([f"GPU {gpu.device}", gpu.pci or "–", cuda, gpu.select, gpu.uuid or "–"])
    place.html(table(["nvidia-smi", "bus", "in PyTorch here", "in memcalc", f"for sure: {VISIBLE}="], rows))
    set_to = ", ".join(f"{name}={os.environ[name]}" for name in (VISIBLE, ORDER) if name in os.environ) or "neither set"
    place.html(
        f'<p class="mc-small">{escape(order.said)} Environment of this dashboard: {escape(set_to)}. This page and '
        "memcalc’s live:0 count as nvidia-smi does, along the bus, and ignore both variables; live: also takes a UUID. "
        "“in PyTorch here” holds for programs started with the same environment.</p>"
    )


def processes(view: View) -> None:
    """Every process on every card."""
    place = st.expander("Every process", icon=":material/list:", key="every-process", on_change="rerun")
    if not place.open:
        return
    rows: list[list[str]] = []
    reasons: dict[str, None] = {}
    for seen in view.devices:
        reasons |= {why: None for field, why in seen.gpu.reasons.items() if field in ("processes", "process memory")}
        for one in seen.gpu.processes or ():
            memory = units.binary(one.memory) if one.memory is not None else "–"
            rows.append([f"GPU {seen.gpu.device}", one.name or "–", str(one.pid), one.kind, memory])
    place.html(table(["card", "program", "process", "kind", "memory"], rows) if rows else "<p>No process.</p>")
    said = " ".join(f"–: {why}." for why in reasons)
    place.html(
        f'<p class="mc-small">{escape(said)} A process’s memory covers its CUDA context and all that its allocator '
        "has reserved. In a container the numbers are the host’s.</p>"
    )


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in HTML, everything escaped."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(one)}</td>" for one in row[1:])}</tr>'
        for row in rows
    )
    return f'<div class="mc-listed"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
