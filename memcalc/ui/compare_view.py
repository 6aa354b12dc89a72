"""Pinned scenarios side by side: what differs, bars on one axis. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

from memcalc import units
from memcalc.ui import figures, own_models
from memcalc.ui.colours import LABELS
from memcalc.ui.form import Json
from memcalc.ui.ledger import Run, shown_parts
from memcalc.ui.markup import size

TASKS = {"train": "training", "infer": "inference"}
#: Fields of a scenario in a reader's words; others are shown by their path.
NAMES = {
    "model": "model", "task": "task", "precision": "precision", "batch": "sequences at once",
    "seq_len": "tokens per sequence", "attention": "attention", "attention_mask": "mask", "hardware.gpu": "card",
    "inference.prompt_tokens": "prompt tokens", "inference.new_tokens": "new tokens",
    "training.method": "trained", "training.grad_accumulation": "micro-batches per step",
    "training.optimizer_impl": "how it steps", "training.lora.r": "LoRA rank", "training.lora.targets": "LoRA targets",
    "training.lora.dtype": "adapter format", "training.lora.dropout": "LoRA dropout",
    "training.clip_grad": "clip gradients", "training.ema": "average of the weights",
}  # fmt: skip
MAIN = ("task", "seq_len", "training.method", "inference.prompt_tokens", "inference.new_tokens")


def model_name(scenario: Mapping[str, Any]) -> str:
    """``Llama-3.1-8B``, or ``7.00 billion parameters`` for a size."""
    model = scenario["model"]
    return own_models.name(model) or f"{units.count(model['parameters'])} parameters"


def title(number: int, scenario: Mapping[str, Any]) -> str:
    """``1 Llama-3.1-8B, training``."""
    return f"{number} {model_name(scenario)}, {TASKS[scenario.get('task', 'infer')]}"


def flat(scenario: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """A scenario as understood, as one line a field."""
    found: dict[str, str] = {}
    for name, value in scenario.items():
        at = f"{path}.{name}" if path else name
        if name == "model":
            found[at] = model_name(scenario)
        elif isinstance(value, Mapping):
            found |= flat(value, at)
        elif value is not None:
            found[at] = _said(value)
    return found


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def differences(runs: list[Run]) -> list[tuple[str, list[str]]]:
    """The settings in which the runs differ: a name and each run's value (a dash where it has none)."""
    said = [flat(run.estimate["scenario"]) for run in runs]
    paths = list(dict.fromkeys(path for one in said for path in one))
    rows = [(path, [one.get(path, "–") for one in said]) for path in paths]
    mixed = len({run.estimate["scenario"]["task"] for run in runs}) > 1
    return [(_name(path), values) for path, values in rows if _worth_saying(path, values, mixed)]


def _worth_saying(path: str, values: list[str], mixed: bool) -> bool:
    """Whether a row says something: beside the other task, a setting that only one task has says it only if it is
    one of the main ones, or differs within that task."""
    own = {value for value in values if value != "–"}
    return len(set(values)) > 1 and (not mixed or "–" not in values or len(own) > 1 or path in MAIN)


def _name(path: str) -> str:
    return NAMES.get(path, path.split(".")[-1].replace("_", " "))


def sizes(runs: list[Run]) -> list[tuple[str, list[str | int]]]:
    """The runs' figures at their highest instant, sizes in bytes."""
    rows: list[tuple[str, list[str | int]]] = []
    rows += [(LABELS[part], [run.peak.parts.get(part, 0) for run in runs]) for part in shown_parts(runs)]
    rows.append(("total", [run.device for run in runs]))
    rows.append(("highest in the", [run.peak.short for run in runs]))
    rows.append(("range", [" to ".join(units.binary(size) for size in run.range) for run in runs]))
    return rows


def _shown(value: str | int) -> str:
    """A cell: text made inert, or a size in GiB with GB on hover."""
    return escape(value) if isinstance(value, str) else size(value)


def table(rows: Sequence[tuple[str, Sequence[str | int]]], caption: str) -> str:
    """A table with a numbered column for each run, as HTML; everything in it is escaped."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{number}</th>' for number in range(1, len(rows[0][1]) + 1))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{_shown(value)}</td>" for value in values)}</tr>'
        for name, values in rows
    )
    return (
        f'<div class="mc-compare"><table><caption><b>{escape(caption)}</b></caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def bars(runs: list[Run], card: str, capacity: int | None) -> dict[str, Any]:
    """One bar a run, at its highest instant, all on one axis."""
    tops = [replace(run, bars=(run.peak,)) for run in runs]
    figure = figures.phase_bars(tops, card, capacity)
    for note in figure["layout"]["annotations"]:
        note["text"] = note["text"].replace(", the highest</b>", "</b>")
    return figure


def shared_card(scenarios: list[Json], runs: list[Run]) -> tuple[str, int | None]:
    """The card and its capacity if all scenarios name the same one."""
    named = {(scenario.get("hardware") or {}).get("gpu") for scenario in scenarios}
    fit = runs[0].estimate.get("fit") if runs else None
    return (fit["gpu"], fit["capacity"]) if len(named) == 1 and fit else ("", None)
