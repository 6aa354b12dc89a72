"""``memcalc fit``: does it fit, how far can it be taken, and on which cards."""

from __future__ import annotations

import argparse
import json
from typing import Any

from memcalc.cli.reading import refuse, scenario_arguments, scenario_of
from memcalc.cli.tables import as_json, said, table
from memcalc.errors import MemcalcError
from memcalc.hardware.machine import for_scenario
from memcalc.scenario.paths import Json, get
from memcalc.shared import Shared
from memcalc.solve.cards import CardVerdict, cards, smallest_card
from memcalc.solve.frontier import frontier
from memcalc.solve.largest import Answer, largest
from memcalc.solve.models import models_that_fit
from memcalc.solve.quantities import possible
from memcalc.solve.replicas import Fewest, fewest_cards
from memcalc.solve.verdict import verdict
from memcalc.units import binary

ALONG = (1, 2, 4, 8, 16, 32, 64, 128)


def add(commands: Any) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "fit", help="whether a scenario fits, the largest batch, length, rank and model that do, and the smallest card"
    )
    scenario_arguments(parser)
    parser.add_argument("--field", action="append", help="only this number (may be repeated)")
    parser.add_argument("--pair", nargs=2, metavar=("ALONG", "OF"), help="the frontier of two numbers")
    parser.add_argument("--family", help="models of this family (else: the model's own)")
    parser.add_argument("--cards", action="store_true", help="every card of the catalogue that runs it")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Answer."""
    try:
        scenario = scenario_of(chosen)
        if chosen.cards:
            return _cards(cards(scenario), chosen.json)
        if chosen.pair:
            return _pair(scenario, chosen.pair[0], chosen.pair[1], chosen.json)
        return _all(scenario, chosen)
    except MemcalcError as error:
        return refuse(error)


def _all(scenario: Json, chosen: argparse.Namespace) -> int:
    shared = Shared(machine=for_scenario(scenario))
    judged = verdict(scenario, shared)
    fields = chosen.field or [one.path for one in possible(scenario)]
    found = [largest(scenario, path, shared=shared) for path in fields]
    models = [] if chosen.field else models_that_fit(scenario, chosen.family, shared=shared)
    card = None if chosen.field else smallest_card(scenario)
    sharded = None if chosen.field else _sharded(scenario, shared)
    if chosen.json:
        answer = {
            **(as_json(judged) or {}),
            "largest": [_answer_json(one) for one in found],
            "models": [{"model": one.model, **(as_json(one.verdict) or {"refusal": one.refusal})} for one in models],
            "smallest_card": card.gpu.name if card else None,
            "fewest_cards": {"cards": sharded.cards, "strategy": sharded.strategy} if sharded else None,
        }
        print(json.dumps(answer, indent=2))
        return 0
    print(said(judged))
    rows = [("largest that fits", "now", "value", "")]
    rows += [(one.quantity.name, _now(scenario, one), f"{one.value:,}", _ends(one)) for one in found]
    print("\n" + table(rows))
    if models:
        fits = next((one for one in models if one.verdict and one.verdict.fits), None)
        print(f"\nlargest model of the family: {fits.name if fits else 'none fits'}")
    if not chosen.field:
        print(f"smallest card: {_card(card) if card else 'none of the catalogue'}")
    if sharded is not None:
        print(f"fewest cards of the kind asked about: {sharded.cards:,} (sharded by {sharded.strategy})")
    return 0


def _sharded(scenario: Json, shared: Shared) -> Fewest | None:
    """The fewest cards for a training step that is not spread over several already; None where it cannot be sharded."""
    if scenario.get("task") != "train" or scenario.get("parallel"):
        return None
    try:
        return fewest_cards(scenario, shared=shared)
    except MemcalcError:
        return None


def _now(scenario: Json, one: Answer) -> str:
    value = get(scenario, one.quantity.path)
    return f"{value:,}" if isinstance(value, int) else "–"


def _ends(one: Answer) -> str:
    """What is to be said about where the values end."""
    if one.why:
        return one.why
    if one.again:
        return "memory falls again above: " + ", ".join(f"{value:,}" for value in one.again[:3]) + " fit too"
    if one.next is None:
        return ""
    return f"{one.value + 1:,} would need {binary(one.next.excess)} more" if one.value else "not even 1"


def _answer_json(one: Answer) -> dict[str, Any]:
    return {
        "field": one.quantity.path,
        "value": one.value,
        "at": as_json(one.at),
        "next": as_json(one.next),
        "why": one.why,
        "fits_again": list(one.again),
    }


def _card(one: CardVerdict) -> str:
    gpu = one.gpu
    return f"{gpu.name} ({binary(gpu.capacity)}, {gpu.year})"


def _pair(scenario: Json, along: str, of: str, json_wanted: bool) -> int:
    found = frontier(scenario, along, of, ALONG)
    if json_wanted:
        print(json.dumps({"along": found.along, "of": found.of, "points": [list(one) for one in found.points]}))
        return 0
    print(table([(found.along, f"largest {found.of}")] + [(f"{one:,}", f"{most:,}") for one, most in found.points]))
    return 0


def _cards(found: tuple[CardVerdict, ...], json_wanted: bool) -> int:
    if json_wanted:
        listed = [
            {
                "gpu": one.gpu.name,
                "capacity": one.gpu.capacity,
                **(as_json(one.verdict) or {"refusal": one.refusal}),
                "bandwidth_gb_s": one.gpu.bandwidth_gb_s,
                "year": one.gpu.year,
            }
            for one in found
        ]
        print(json.dumps(listed, indent=2))
        return 0
    rows = [("card", "verdict", "capacity", "to spare", "GB/s", "year")]
    for one in found:
        if one.verdict and one.verdict.state != "does not fit":
            rows.append(
                (one.gpu.name, one.verdict.state, binary(one.gpu.capacity), binary(one.headroom or 0),
                 f"{one.gpu.bandwidth_gb_s:,.0f}", str(one.gpu.year))
            )  # fmt: skip
    print(table(rows, left=2))
    return 0
