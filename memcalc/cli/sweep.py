"""``memcalc sweep``: a scenario over one or two fields, against a card."""

from __future__ import annotations

import argparse
import json
from typing import Any

from memcalc.cli.reading import refuse, scenario_arguments, scenario_of
from memcalc.cli.tables import table
from memcalc.diffusion import is_pipeline, understood
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.hardware.machine import for_scenario
from memcalc.scenario import Scenario
from memcalc.scenario.paths import Json
from memcalc.shared import Shared
from memcalc.solve.axes import Axis, axes, axis
from memcalc.solve.grid import REFUSED, Map, grid
from memcalc.units import binary


def add(commands: Any) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sweep", help="the memory over any two fields (batch, seq_len, precision, optimizer, rank, model, …)"
    )
    scenario_arguments(parser)
    parser.add_argument("--x", default="batch", help="the field along the columns (batch)")
    parser.add_argument("--y", help="the field along the rows (the length)")
    parser.add_argument("--xs", help="its values, such as 1,2,4")
    parser.add_argument("--ys", help="its values")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Answer."""
    try:
        scenario = scenario_of(chosen)
        rows = chosen.y or next(key for key in axes(scenario) if key != chosen.x)
        x, y = axis(scenario, chosen.x), axis(scenario, rows)
        shared = Shared(machine=for_scenario(scenario))
        found = grid(scenario, x, y, _values(x, chosen.xs), _values(y, chosen.ys), shared=shared)
        limit = _limit(scenario, shared)
    except MemcalcError as error:
        return refuse(error)
    print(json.dumps(_json(found, limit), indent=2) if chosen.json else _table(found, limit))
    return 0


def _values(one: Axis, given: str | None) -> list[Any] | None:
    if given is None:
        return None
    names = {one.name(value): value for value in one.values} | {str(value): value for value in one.values}
    found: list[Any] = []
    for text in given.split(","):
        if one.numeric and text.strip().isdecimal():
            found.append(int(text))
        elif text.strip() in names:
            found.append(names[text.strip()])
        else:
            raise ScenarioError(f"{text[:40]!r} is no value of {one.title}", one.path, list(names))
    return found


def _limit(scenario: Json, shared: Shared) -> int | None:
    hardware = understood(scenario).hardware if is_pipeline(scenario) else Scenario.read(scenario).hardware
    device = shared.device(hardware)
    return None if device is None else device.capacity - hardware.reserve


def _table(found: Map, limit: int | None) -> str:
    rows = [(f"{found.y.title} \\ {found.x.title}", *(found.x.name(value) for value in found.xs))]
    for i, value in enumerate(found.ys):
        cells = [_cell(found, i, j, limit) for j in range(len(found.xs))]
        rows.append((found.y.name(value), *cells))
    notes = list(found.refusals)
    if limit is not None:
        notes.append(f"✓ fits {binary(limit)}, ? tight")
    return "\n".join([table(rows), "", *notes]).rstrip()


def _cell(found: Map, i: int, j: int, limit: int | None) -> str:
    if found.point[i, j] == REFUSED:
        return "–"
    if limit is None:
        return binary(int(found.point[i, j]))
    mark = "✓" if found.high[i, j] <= limit else " " if found.low[i, j] > limit else "?"
    return f"{binary(int(found.point[i, j]))} {mark}"


def _json(found: Map, limit: int | None) -> dict[str, Any]:
    def listed(sizes: Any) -> list[list[int | None]]:
        return [[None if size == REFUSED else size for size in row] for row in sizes.tolist()]

    return {
        "x": {"field": found.x.path, "values": list(found.xs)},
        "y": {"field": found.y.path, "values": list(found.ys)},
        "device": listed(found.point),
        "low": listed(found.low),
        "high": listed(found.high),
        "limit": limit,
        "refusals": list(found.refusals),
    }
