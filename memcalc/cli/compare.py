"""``memcalc compare``: several scenarios side by side."""

from __future__ import annotations

import argparse
import json
from typing import Any

from memcalc.cli.reading import read_json, refuse
from memcalc.cli.tables import table
from memcalc.components import COMPONENTS
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.estimate import Estimate, estimate
from memcalc.units import binary


def add(commands: Any) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare", help="several scenarios (a JSON list) side by side"
    )
    parser.add_argument("file", help="a list of scenarios as a JSON file, or - for standard input")
    parser.add_argument("--json", action="store_true", help="as JSON instead of a table")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Answer."""
    try:
        read = read_json(chosen.file)
        if not isinstance(read, list) or not read:
            raise ScenarioError("several scenarios are needed here: a JSON list", "")
        found = [estimate(one) for one in read]
    except MemcalcError as error:
        return refuse(error)
    different = differences([one.scenario for one in found])
    if chosen.json:
        answer = {"differences": different, "estimates": [one.as_dict() for one in found]}
        print(json.dumps(answer, indent=2))
        return 0
    rows = [("", *(str(number) for number in range(1, len(found) + 1)))]
    rows += [(path, *(_said(value) for value in values)) for path, values in different.items()]
    rows.append(("peak on the device", *(binary(one.peak["device"]) for one in found)))
    rows.append(("range", *(" to ".join(binary(size) for size in one.range["device"]) for one in found)))
    rows.append(("highest in", *(str(one.peak["phase"]) for one in found)))
    for name in COMPONENTS:
        if any(one.at_peak[name] for one in found):
            rows.append((name, *(binary(one.at_peak[name]) for one in found)))
    rows.append(("overhead", *(binary(one.peak["device"] - one.peak["tensors"]) for one in found)))
    if any(one.fit for one in found):
        rows.append(("verdict", *(_verdict(one) for one in found)))
    print(table(rows))
    return 0


def differences(scenarios: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The fields in which scenarios differ, by path, with each one's value.

    >>> differences([{"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}])
    {'b.c': [2, 3]}
    """
    flat = [dict(_flat(one)) for one in scenarios]
    paths = dict.fromkeys(path for one in flat for path in one)
    found = {path: [one.get(path) for one in flat] for path in paths}
    return {path: values for path, values in found.items() if any(value != values[0] for value in values)}


def _flat(value: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, one in value.items():
        at = f"{path}.{name}" if path else name
        found += _flat(one, at) if isinstance(one, dict) and at != "model" else [(at, one)]
    return found


def _said(value: Any) -> str:
    if value is None:
        return "–"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= 32 else text[:31] + "…"


def _verdict(one: Estimate) -> str:
    return str(one.fit["verdict"]) if one.fit else "–"
