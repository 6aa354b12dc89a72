"""The command line: ``python -m memcalc estimate FILE``, ``trace FILE``, ``models``; the rest is in ``memcalc.cli``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from memcalc.allocator.exact import replayed
from memcalc.cli import advise, compare, exercises, fit, gpus, room, sweep
from memcalc.cli.reading import read_json, refuse
from memcalc.errors import MemcalcError
from memcalc.estimate import estimate
from memcalc.hardware.machine import for_scenario
from memcalc.models import catalogue


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2: something could not be understood)."""
    parser = argparse.ArgumentParser("memcalc", description="Where GPU memory goes, in training and inference.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("estimate", help="estimate a scenario, or a list of them, read as JSON")
    one.add_argument("file", help="a JSON file, or - for standard input")
    one.add_argument(
        "--exact-reserved",
        action="store_true",
        help="replay every tensor through a simulated caching allocator (tenths of a second a scenario)",
    )
    traced = commands.add_parser("trace", help="the same by running real model code on a fake GPU (needs torch)")
    traced.add_argument("file", help="a JSON file, or - for standard input")
    commands.add_parser("models", help="the names of the model catalogue")
    for add in (fit.add, advise.add, sweep.add, compare.add, gpus.add, exercises.add, room.add):
        add(commands)
    chosen = parser.parse_args(arguments)
    if hasattr(chosen, "run"):
        return int(chosen.run(chosen))
    if chosen.command == "estimate":
        return _estimate(chosen.file, _exact if chosen.exact_reserved else _answer)
    if chosen.command == "trace":
        return _estimate(chosen.file, _traced)
    print("\n".join(catalogue.names()))
    return 0


def _estimate(file: str, answer: Callable[[Any], dict[str, Any]]) -> int:
    try:
        read = read_json(file)
    except MemcalcError as error:
        return refuse(error)
    answers = [answer(one) for one in (read if isinstance(read, list) else [read])]
    print(json.dumps(answers if isinstance(read, list) else answers[0], indent=2))
    return 2 if any("error" in one for one in answers) else 0


def _answer(scenario: Any) -> dict[str, Any]:
    try:
        return estimate(scenario, machine=for_scenario(scenario)).as_dict()
    except MemcalcError as error:
        return error.as_dict()


def _exact(scenario: Any) -> dict[str, Any]:
    try:
        return replayed(scenario, machine=for_scenario(scenario)).as_dict()
    except MemcalcError as error:
        return error.as_dict()


def _traced(scenario: Any) -> dict[str, Any]:
    """Answer by tracing, with a progress line on standard error."""
    begun = time.monotonic()

    def tell(phase: str) -> None:
        print(f"\rtracing {time.monotonic() - begun:6.1f} s  {phase:<24}", end="", file=sys.stderr, flush=True)

    os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported: nothing is fetched
    try:
        from memcalc.trace.answer import traced_estimate

        tell("import")
        return traced_estimate(scenario, tell)
    except MemcalcError as error:
        return error.as_dict()
    finally:
        print(file=sys.stderr)


def script() -> int:
    """``main`` for a shell: whoever reads may stop before the end (``| head``), which is no error."""
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # What is still buffered would be written, and fail, when Python ends [docs.python.org, library/signal].
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(script())
