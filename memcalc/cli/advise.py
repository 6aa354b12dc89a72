"""``memcalc advise``: what would make it fit, what each change saves and costs."""

from __future__ import annotations

import argparse
import json
from typing import Any

from memcalc.advise.advice import Item, Scale, advise
from memcalc.advise.plan import Plan, plan
from memcalc.cli.reading import refuse, scenario_arguments, scenario_of
from memcalc.cli.tables import as_json, said, table
from memcalc.errors import MemcalcError
from memcalc.hardware.machine import for_scenario
from memcalc.units import binary


def add(commands: Any) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "advise", help="changes that would lower the memory, ranked, and the cheapest set that makes it fit"
    )
    scenario_arguments(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Answer."""
    try:
        scenario = scenario_of(chosen)
        scale = Scale(machine=for_scenario(scenario))
        found = advise(scenario, scale=scale)
        best = plan(scenario, scale=scale) if found.now.state != "unknown" else None
    except MemcalcError as error:
        return refuse(error)
    if chosen.json:
        answer = {
            "now": as_json(found.now),
            "changes": [_item_json(one) for one in found.items],
            "plan": None if best is None else _plan_json(best),
        }
        print(json.dumps(answer, indent=2))
        return 0
    print(said(found.now))
    rows = [("change", "saves", "then", "cost")]
    rows += [(one.change.title, _saves(one), one.verdict.state, _cost(one)) for one in found.items]
    print("\n" + _aligned(rows))
    if best is not None and best.changes:
        word = "The cheapest set that fits" if best.fits else "Nothing known makes it fit; the closest"
        print(f"\n{word}: {'; '.join(one.title for one in best.changes)}.\n{said(best.verdict)}")
    return 0


def _aligned(rows: list[tuple[str, str, str, str]]) -> str:
    """The table with the costs, which are sentences, at its end."""
    front = table([row[:3] for row in rows]).split("\n")
    width = max(len(line) for line in front)
    return "\n".join(f"{line.ljust(width)}  {row[3]}" for line, row in zip(front, rows, strict=True))


def _saves(one: Item) -> str:
    return f"{binary(one.there)} in the {one.phase}" if one.phase else binary(one.saves)


def _cost(one: Item) -> str:
    cost = one.change.cost
    return cost.words + (f" ({cost.time})" if cost.time else "")


def _item_json(one: Item) -> dict[str, Any]:
    cost = one.change.cost
    return {
        "key": one.change.key,
        "title": one.change.title,
        "sets": dict(one.change.sets),
        "saves": one.saves,
        "phase": one.phase or None,
        "saves_in_phase": one.there,
        "then": as_json(one.verdict),
        "cost": {"words": cost.words, "time": cost.time, "rank": cost.pain, "source": cost.source},
    }


def _plan_json(best: Plan) -> dict[str, Any]:
    return {
        "changes": [one.key for one in best.changes],
        "titles": [one.title for one in best.changes],
        "fits": best.fits,
        "complete": best.complete,
        "scenario": best.scenario,
        **(as_json(best.verdict) or {}),
    }
