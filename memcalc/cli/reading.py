"""What the commands read: scenarios as JSON, sizes, pasted nvidia-smi; and how they refuse."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from memcalc.errors import MemcalcError, ScenarioError
from memcalc.hardware import smi
from memcalc.scenario.paths import Json, put
from memcalc.units import parse_bytes

LARGEST_INPUT = 16 * 1024 * 1024
"""Bytes: a list of scenarios larger than this is a mistake."""


def read_text(file: str) -> str:
    """A file's text, or standard input's for ``-``."""
    try:
        if file == "-":
            text = sys.stdin.read(LARGEST_INPUT + 1)
        else:
            with open(file, encoding="utf-8") as source:
                text = source.read(LARGEST_INPUT + 1)
    except OSError as error:
        raise MemcalcError(f"{file} cannot be read: {error.strerror or error}", "") from error
    except UnicodeDecodeError as error:
        raise MemcalcError(f"{file} is not text in UTF-8", "") from error
    if len(text) > LARGEST_INPUT:
        raise MemcalcError(f"more than {LARGEST_INPUT // 2**20} MiB of input", "")
    return text


def read_json(file: str) -> Any:
    """The JSON value in a file, or on standard input for ``-``."""
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        if isinstance(error, MemcalcError):
            raise
        raise MemcalcError(f"the input is not valid JSON: {error}", "") from error


def refuse(error: MemcalcError) -> int:
    """Print the error as JSON; the exit status."""
    print(json.dumps(error.as_dict(), indent=2))
    return 2


def scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command about one scenario."""
    parser.add_argument("file", help="a scenario as a JSON file, or - for standard input")
    parser.add_argument("--gpu", help="the card: a name of the catalogue, a size such as 16GB, or live:0")
    parser.add_argument("--free", help="what is free on the card now, such as 11.2GiB")
    parser.add_argument("--reserve", help="what is to stay free, such as 1GiB")
    parser.add_argument("--smi", metavar="FILE", help="what nvidia-smi printed on the machine that is meant")
    parser.add_argument("--card", type=int, default=0, help="which of the cards that nvidia-smi printed (0, 1, …)")
    parser.add_argument("--json", action="store_true", help="as JSON instead of a table")


def scenario_of(chosen: argparse.Namespace) -> Json:
    """The scenario that the arguments mean."""
    read = read_json(chosen.file)
    if not isinstance(read, dict):
        raise ScenarioError("one scenario is needed here: a JSON object", "")
    scenario: Json = read
    if chosen.gpu:
        scenario = put(scenario, "hardware.gpu", chosen.gpu)
    if chosen.smi:
        cards = smi.parse(read_text(chosen.smi))
        if not 0 <= chosen.card < len(cards):
            raise ScenarioError(f"nvidia-smi printed {len(cards)} cards", "card", list(range(len(cards))))
        card = cards[chosen.card]
        scenario = put(put(scenario, "hardware.gpu", card.card), "hardware.free", card.free)
    for name in ("free", "reserve"):
        if getattr(chosen, name):
            scenario = put(scenario, f"hardware.{name}", size(getattr(chosen, name), f"hardware.{name}"))
    return scenario


def size(text: str, field: str) -> int:
    """A size on the command line, in bytes."""
    try:
        return parse_bytes(text, "B")
    except ValueError as error:
        raise ScenarioError(str(error), field) from error
