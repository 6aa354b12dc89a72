"""``python -m memcalc exercises``: a sheet of exercises to print, with solutions or without."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import urlsplit

from memcalc.cli.reading import refuse
from memcalc.errors import MemcalcError, ScenarioError


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("exercises", help="a sheet of exercises to print, as HTML on standard output")
    parser.add_argument("--level", default="starter", help="starter (the usual), practitioner or engineer")
    parser.add_argument("--seed", type=int, default=1, help="which numbers: the same seed, the same sheet")
    parser.add_argument("--solutions", action="store_true", help="with solutions, for the teacher")
    served = "where memcalc is served, such as http://192.168.1.7:8501: printed as a link and a QR code"
    parser.add_argument("--address", default="", metavar="URL", help=served)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Print the sheet. The exercises are loaded here only: no other command needs them."""
    from memcalc.learn.exercises import LEVELS
    from memcalc.learn.exercises.exercise import FIRST_SEED, LAST_SEED
    from memcalc.learn.exercises.sheet import sheet
    from memcalc.learn.link import address

    if chosen.level not in LEVELS:
        return refuse(ScenarioError(f"there is no level {chosen.level[:40]!r}", "level", list(LEVELS)))
    if not FIRST_SEED <= chosen.seed <= LAST_SEED:
        return refuse(MemcalcError(f"the seed is a number from {FIRST_SEED} to {LAST_SEED}", "seed"))
    link = ""
    if chosen.address:
        if urlsplit(chosen.address).scheme not in ("http", "https") or len(chosen.address) > 200:
            return refuse(MemcalcError("an address begins with http:// or https://", "address"))
        link = address(chosen.address.rstrip("/"), "exercises", {"level": chosen.level, "seed": str(chosen.seed)})
    print(sheet(chosen.level, chosen.seed, chosen.solutions, link), end="")
    return 0
