"""Advice in words. No Streamlit in here."""

from __future__ import annotations

from memcalc import units
from memcalc.advise import Advice, Item, Plan
from memcalc.solve import Verdict
from memcalc.ui.ledger import PHASE_LABELS

SIGNS = {"fits": "✓ fits", "tight": "! tight", "does not fit": "✕ not enough", "unknown": ""}


def saving(item: Item) -> str:
    """What a change saves: ``−9.20 GiB``, or where it does."""
    if not item.phase:
        return f"−{units.binary(item.saves)}"
    phase = PHASE_LABELS.get(item.phase, item.phase).split(" (")[0]
    more = f"; the peak grows by {units.binary(-item.saves)}" if item.saves < 0 else "; the peak stays"
    return f"−{units.binary(item.there)} in the {phase}{more}"


def after(verdict: Verdict) -> str:
    """The verdict with a change made: ``✓ fits, 3.10 GiB to spare at worst``."""
    if verdict.state == "unknown":
        return f"needs {units.binary(verdict.point)}"
    if verdict.fits:
        return f"{SIGNS['fits']}, {units.binary(-verdict.excess)} to spare at worst"
    return f"{SIGNS[verdict.state]}, {units.binary(verdict.excess)} over at worst"


def cost(item: Item) -> str:
    """What a change costs, with the order of magnitude if it is known."""
    price = item.change.cost
    return f"{price.words}{f' ({price.time})' if price.time else ''}"


def source(item: Item) -> str:
    """Where the words about the cost come from; arXiv's numbers are said to be that."""
    text = item.change.cost.source
    if not text:
        return "A judgement of memcalc's authors."
    papers = all(part.strip()[:4].isdigit() for part in text.split(","))
    return f"Source: {'arXiv ' if papers else ''}{text}."


def rows(found: Advice) -> list[dict[str, str | int]]:
    """The list as rows of a table, in bytes."""
    return [
        {
            "change": item.change.title,
            "saves at the peak (bytes)": item.saves,
            "saves in": PHASE_LABELS.get(item.phase, item.phase).split(" (")[0],
            "saves there (bytes)": item.there,
            "needs then at worst (bytes)": item.verdict.high,
            "verdict then": item.verdict.state,
            "cost": cost(item),
            "fields": "; ".join(f"{path} = {value}" for path, value in item.change.sets),
        }
        for item in found.items
    ]


def headline(plan: Plan) -> str:
    """The cheapest set in a sentence."""
    names = [one.title for one in plan.changes]
    listed = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""
    if plan.fits:
        room = units.binary(-plan.verdict.excess)
        return f"Cheapest change that makes it fit: {listed} ({room} to spare at worst)."
    if not names:
        return "No change that memcalc knows helps here."
    over = units.binary(plan.verdict.excess)
    more = "" if plan.complete else " Not every set could be tried."
    return f"Nothing that memcalc knows makes it fit. Closest: {listed}, still {over} over at worst.{more}"
