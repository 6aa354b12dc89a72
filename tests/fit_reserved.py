"""What the closed form of ``reserved`` in ``memcalc/overhead.py`` was fitted on: event logs of the symbolic model
replayed through the simulated caching allocator. Simulated, not measured on a card.

    python tests/fit_reserved.py [samples [expandable]]

Draws scenarios over the catalogue's models and many settings (the same ones every time), replays each, and prints
the quantiles of reserved / (allocated + 24 MiB) for each kind of run that the closed form tells apart; 24 MiB stands
for the segments that are never full. ``SLACK`` holds the 5 %, 50 % and 95 % quantiles, rounded outwards.
"""

from __future__ import annotations

import random
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import memcalc
from memcalc.allocator.expand import replay_scenario
from memcalc.errors import MemcalcError
from memcalc.models import catalogue
from memcalc.overhead import BASE, kind_of
from memcalc.scenario import Scenario

LARGEST = 35e9
"""Parameters: larger models are not drawn."""


def drawn(draw: random.Random) -> dict[str, Any]:
    """One scenario."""
    names = [name for name in catalogue.names() if catalogue.find(name).parameters < LARGEST]
    scenario: dict[str, Any] = {
        "model": draw.choice(names),
        "attention": draw.choice(["sdpa", "sdpa", "sdpa", "eager"]),
    }
    if draw.random() < 0.3:
        scenario |= {
            "task": "infer", "precision": draw.choice(["bf16", "bf16", "fp16", "fp32"]),
            "batch": draw.choice([1, 1, 2, 4, 8, 16]),
            "inference": {"prompt_tokens": int(2 ** draw.uniform(5, 12)), "new_tokens": draw.choice([1, 16, 128, 500])},
        }  # fmt: skip
        return scenario
    precision = draw.choice(["bf16", "bf16", "bf16-mixed", "fp16-mixed", "fp32", "bf16-master"])
    training: dict[str, Any] = {
        "optimizer": draw.choice(["adamw", "adamw", "adamw", "sgd", "adafactor", "adamw-8bit"]),
        "checkpointing": draw.choice(["none", "full"]),
        "grad_accumulation": draw.choice([1, 1, 4]),
    }
    if training["optimizer"] != "adamw-8bit":
        training["optimizer_impl"] = draw.choice(["foreach", "foreach", "for-loop"])
    if draw.random() < 0.3:
        training |= {"method": "lora", "lora": {"r": draw.choice([8, 16, 64]), "targets": "all-linear"}}
    return scenario | {
        "task": "train", "precision": precision, "batch": draw.choice([1, 2, 3, 4, 8]),
        "seq_len": int(2 ** draw.uniform(7, 12)), "training": training,
    }  # fmt: skip


def main(samples: int, expandable: bool) -> None:
    """Draw, replay, print."""
    draw = random.Random(0)
    ratios: dict[str, list[float]] = {}
    for number in range(samples):
        scenario = drawn(draw)
        try:
            found, replayed = memcalc.estimate(scenario), replay_scenario(scenario, expandable=expandable)
        except MemcalcError:
            continue
        kind = kind_of(Scenario.read(scenario))
        ratios.setdefault(kind, []).append(replayed.reserved / (found.peak["allocated"] + BASE))
        if number % 50 == 49:
            print(f"{number + 1}/{samples}", file=sys.stderr)
    for kind, values in sorted(ratios.items()):
        cuts = statistics.quantiles(values, n=20)
        print(f"{kind:24} {len(values):4} runs: {cuts[0]:.3f} {cuts[9]:.3f} {cuts[18]:.3f}, at most {max(values):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600, "expandable" in sys.argv)
