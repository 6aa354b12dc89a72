"""How right memcalc is: estimates against the recorded traces and the published measurements, as tables.

    python tests/accuracy.py            print the README's tables from today's code
    python tests/accuracy.py --write    also put them into README.md and memcalc/data/accuracy.json, where the page
                                        Accuracy finds them

The traces (``peak.tensors``) lie beside this file in ``data``, the measurements in ``memcalc/data/measured.json``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import memcalc
from memcalc.accuracy import MeasuredCase, TracedCase, by_family, by_group, family_of, measured, summary
from memcalc.components import COMPONENTS

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
RECORD = ROOT / "memcalc" / "data" / "accuracy.json"
README = ROOT / "README.md"
TRACED_WITH = "torch 2.13, transformers 5.23, peft 0.21"
INDEPENDENT = "traces.json"
"""The file of the instrument that shares nothing with memcalc."""


def recorded() -> list[tuple[dict[str, Any], bool]]:
    """Every recorded trace, and whether the independent instrument made it."""
    return [
        (case, path.name == INDEPENDENT)
        for path in sorted(DATA.glob("traces*.json"))
        for case in json.loads(path.read_text("utf-8"))
    ]


def compared(case: dict[str, Any], independent: bool) -> TracedCase:
    """One trace beside today's estimate."""
    scenario, expect = case["scenario"], case["expect"]
    return TracedCase(
        case["name"],
        family_of(scenario["model"]),
        independent,
        scenario,
        expect["tensors"],
        memcalc.estimate(scenario).peak["tensors"],
        {name: expect["at_peak"].get(name, 0) for name in COMPONENTS},
        expect["phase"],
    )


def as_json(cases: Sequence[TracedCase], made: str) -> str:
    """The record's text: every configuration once, by a digest of it, and one case a line: what two people add to the
    traces then merges by itself."""
    models: dict[str, str] = {}
    lines = []
    for one in cases:
        model = json.dumps(one.scenario["model"], separators=(",", ":"))
        key = hashlib.sha256(model.encode()).hexdigest()[:8]
        models[key] = model
        line = {
            "name": one.name,
            "model": key,
            "scenario": {name: value for name, value in one.scenario.items() if name != "model"},
            "traced": one.traced,
            "estimated": one.estimated,
            "at_peak": [one.at_peak[name] for name in COMPONENTS],
            "phase": one.phase,
            **({"independent": True} if one.independent else {}),
        }
        lines.append(json.dumps(line, separators=(",", ":")))
    head = json.dumps({"made": made, "version": memcalc.__version__, "traced_with": TRACED_WITH})[1:-1]
    listed, held = ",\n".join(lines), ",\n".join(f'"{key}":{model}' for key, model in models.items())
    return f'{{{head},\n"models":{{\n{held}\n}},\n"cases":[\n{listed}\n]}}\n'


def tables(cases: Sequence[TracedCase], published: Sequence[MeasuredCase]) -> str:
    """Both tables as Markdown."""
    rows = ["| traced family | cases | median error | worst error |", "| --- | --- | --- | --- |"]
    for name, some in [*by_family(cases).items(), ("all", list(cases))]:
        found = summary(one.error for one in some)
        rows.append(f"| {name} | {found.count} | {found.median:.4%} | {found.worst:.4%} |")
    rows += [
        "",
        "| published measurements | cases | median error | worst error | stated range holds | its median width |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, group in by_group(published).items():
        found = summary(one.error for one in group)
        held, width = sum(one.held for one in group), statistics.median(one.width for one in group)
        rows.append(
            f"| {name} | {found.count} | {found.median:.2%} | {found.worst:.2%} "
            f"| {held} of {len(group)} | {width:.1%} |"
        )
    return "\n".join(rows)


def in_readme(text: str, new: str) -> str:
    """``text`` with what stands between the table's marks replaced."""
    begin, end = "<!-- table: accuracy -->\n", "\n<!-- end -->"
    head, rest = text.split(begin)
    return f"{head}{begin}{new}{rest[rest.index(end) :]}"


def main(arguments: list[str]) -> None:
    """Compare, print, and write if asked to."""
    cases = [compared(*one) for one in recorded()]
    new = tables(cases, measured())
    print(new)
    if arguments == ["--write"]:
        RECORD.write_text(as_json(cases, datetime.date.today().isoformat()), "utf-8")
        README.write_text(in_readme(README.read_text("utf-8"), new), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
