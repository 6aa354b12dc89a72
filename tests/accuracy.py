"""How right memcalc is, as a table. Run: python tests/accuracy.py

Estimates against traces of real model code (``peak.tensors``) and against published measurements on real cards
(``memcalc/data/measured.json``); the traces lie beside this file in ``data``.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path

import memcalc
from memcalc.measured import Measurement, measurements

DATA = Path(__file__).parent / "data"


def traced() -> dict[str, list[float]]:
    """Relative errors of ``peak.tensors`` by family, over every recorded trace."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in sorted(DATA.glob("traces*.json")):
        for case in json.loads(path.read_text("utf-8")):
            scenario = case["scenario"]
            kind = scenario["model"]["config"]["model_type"]
            estimated = memcalc.estimate(scenario).peak["tensors"]
            found[kind].append(estimated / case["expect"]["tensors"] - 1)
    return found


def measured() -> list[tuple[Measurement, float, bool]]:
    """(case, relative error, whether the stated range holds it) for every published measurement."""
    answers = []
    for case in measurements():
        answer = memcalc.estimate(case.scenario)
        low, high = answer.range[case.what]
        inside = low - case.digits <= case.measured <= high + case.digits
        answers.append((case, answer.peak[case.what] / case.measured - 1, inside))
    return answers


def main() -> None:
    """Print both tables as Markdown."""
    print("| traced family | cases | median error | worst error |\n| --- | --- | --- | --- |")
    errors = traced()
    for name, found in sorted(errors.items()):
        sizes = [abs(one) for one in found]
        print(f"| {name} | {len(found)} | {statistics.median(sizes):.4%} | {max(sizes):.4%} |")
    whole = [abs(one) for found in errors.values() for one in found]
    print(f"| all | {len(whole)} | {statistics.median(whole):.4%} | {max(whole):.4%} |")
    answers = measured()
    sizes = [abs(error) for _, error, _ in answers]
    held = sum(inside for *_, inside in answers)
    print(
        f"\nPublished measurements: {len(answers)}, median error {statistics.median(sizes):.2%}, "
        f"worst {max(sizes):.2%}; the stated range holds {held} of {len(answers)}."
    )


if __name__ == "__main__":
    main()
