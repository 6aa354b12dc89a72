"""What the closed form of ``reserved`` in ``memcalc/overhead.py`` was fitted on: event logs of the symbolic model
replayed through the simulated caching allocator. Simulated, not measured on a card.

    python tests/fit_reserved.py [samples [seed [expandable]]]

Draws scenarios over the catalogue's models and many settings (the same ones for the same seed), replays each, and
prints, for each kind of run that the closed form tells apart, the shares of a quantile regression (4 %, 50 %, 96 %)
and how ``SLACK`` as it stands does on these runs: another seed shows what it is worth elsewhere. Ten minutes.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from memcalc.allocator.expand import replay_scenario
from memcalc.errors import MemcalcError
from memcalc.estimate import lay, settled_gradients
from memcalc.models import catalogue
from memcalc.overhead import BASE, FSDP2_STREAMS, SLACK, SLACK_EXPANDABLE, Moved, kind_of
from memcalc.stages import moved

LARGEST = 35e9
"""Parameters: larger models are not drawn."""
QUANTILES = (0.04, 0.5, 0.96)
SHARES = {
    "train": ("rest", "settled", "block"), "train, checkpointing": ("rest", "settled", "block"),
    "infer": ("rest", "swing"), "fsdp2": ("rest", "block"),
}  # fmt: skip
"""Which shares of ``overhead.Waste`` each kind has."""


@dataclass(frozen=True)
class Run:
    """One replayed scenario: bytes that the closed form starts from, what it depends on, and what was reserved."""

    kind: str
    held: int
    moved: Moved
    reserved: int

    def share(self, name: str) -> float:
        """What a share of ``Waste`` is taken of, as a share of what is held."""
        of = {"rest": self.held, "settled": min(self.moved.swing, self.moved.gradients), "block": self.moved.block,
              "swing": self.moved.swing}  # fmt: skip
        return float(of[name]) / self.held


def drawn(draw: random.Random) -> dict[str, Any]:
    """One scenario."""
    names = [name for name in catalogue.names() if catalogue.find(name).parameters < LARGEST]
    scenario: dict[str, Any] = {
        "model": draw.choice(names),
        "attention": draw.choice(["sdpa", "sdpa", "sdpa", "eager"]),
        "attention_mask": draw.choice(["none", "none", "none", "padded"]),
    }
    if draw.random() < 0.25:
        scenario |= {
            "task": "infer", "precision": draw.choice(["bf16", "bf16", "fp16", "fp32"]),
            "batch": draw.choice([1, 1, 2, 4, 8, 16]),
            "inference": {
                "prompt_tokens": int(2 ** draw.uniform(5, 13)), "new_tokens": draw.choice([1, 16, 128, 500]),
                "weights": draw.choice(["same", "same", "same", "same", "int8", "nf4"]),
            },
        }  # fmt: skip
        return scenario
    training: dict[str, Any] = {
        "optimizer": draw.choice(["adamw", "adamw", "adamw", "sgd", "adafactor", "adamw-8bit", "lion", "muon"]),
        "checkpointing": draw.choice(["none", "none", "full", "full", "selective-ops"]),
        "grad_accumulation": draw.choice([1, 1, 4]),
        "clip_grad": draw.choice([True, False]),
        "loss": draw.choice(["standard", "standard", "standard", "standard", "fused"]),
    }
    if training["optimizer"] in ("adamw", "sgd", "adafactor"):
        training["optimizer_impl"] = draw.choice(["foreach", "foreach", "for-loop"])
    if draw.random() < 0.4:
        lora: dict[str, Any] = {"r": draw.choice([8, 16, 64]), "dropout": draw.choice([0.0, 0.05])}
        if draw.random() < 0.5:
            lora["targets"] = "all-linear"
        training |= {"method": draw.choice(["lora", "lora", "qlora", "dora"]), "lora": lora}
    elif training["checkpointing"] == "none" and draw.random() < 0.1:
        training["activation_offload"] = True
    scenario |= {
        "task": "train", "precision": draw.choice(["bf16", "bf16", "bf16-mixed", "fp16-mixed", "fp32", "bf16-master"]),
        "batch": draw.choice([1, 2, 3, 4, 8]), "seq_len": int(2 ** draw.uniform(7, 12)), "training": training,
    }  # fmt: skip
    if draw.random() < 0.15:
        scenario["parallel"] = {"data": draw.choice([2, 8, 64]), "strategy": draw.choice(["fsdp2", "fsdp2", "ddp"])}
    return scenario


def replayed(draw: random.Random, expandable: bool = False) -> Run | None:
    """One scenario drawn, laid out and replayed; None where the core refuses it."""
    scenario = drawn(draw)
    try:
        laid, found = lay(scenario), replay_scenario(scenario, expandable=expandable)
    except MemcalcError:
        return None
    kind = kind_of(laid.question.scenario)
    base = BASE * (FSDP2_STREAMS if kind == "fsdp2" else 1)
    held = laid.above.allocated[1] + base + laid.question.apart(laid.program)
    return Run(kind, held, Moved(*moved(laid.stages), settled_gradients(laid.question, laid.program)), found.reserved)


def regressed(runs: list[Run], quantile: float, rounds: int = 5000) -> list[float]:
    """Shares of at least 0 with the least pinball loss at ``quantile``, by Adam."""
    names = SHARES[runs[0].kind]
    features = np.array([[run.share(name) for name in names] for run in runs])
    wanted = np.array([run.reserved / run.held - 1 for run in runs])
    found = np.full(len(names), 0.02)
    first, second = np.zeros_like(found), np.zeros_like(found)
    for i in range(rounds):
        short = wanted > features @ found
        slope = -(np.where(short, quantile, quantile - 1)[:, None] * features).mean(0)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        step = first / (1 - 0.9 ** (i + 1)) / (np.sqrt(second / (1 - 0.999 ** (i + 1))) + 1e-9)
        found = np.maximum(found - 0.01 * (1 - i / rounds) * step, 0)
    return [round(float(one), 3) for one in found]


def judged(runs: list[Run], expandable: bool = False) -> tuple[float, float, float]:
    """(share of the runs within the closed form's range, its median width, the point's median error), the width and
    the error as shares of what was reserved."""
    held, widths, errors = [], [], []
    for run in runs:
        low, point, high = (
            waste.added_to(run.held, run.moved) for waste in (SLACK_EXPANDABLE if expandable else SLACK)[run.kind]
        )
        low = min(low, run.held)
        held.append(low * 0.99 <= run.reserved <= high)
        widths.append((high - low) / run.reserved)
        errors.append(abs(point / run.reserved - 1))
    return float(np.mean(held)), float(np.median(widths)), float(np.median(errors))


def main(samples: int, seed: int, expandable: bool) -> None:
    """Draw, replay, print."""
    draw = random.Random(seed)
    kinds: dict[str, list[Run]] = {}
    for number in range(samples):
        run = replayed(draw, expandable)
        if run is not None:
            kinds.setdefault(run.kind, []).append(run)
        if number % 50 == 49:
            print(f"{number + 1}/{samples}", file=sys.stderr)
    for kind, runs in sorted(kinds.items()):
        stands = "{:.1%} within, width {:.1%}, error {:.2%}".format(*judged(runs, expandable))
        print(f"{kind}: {len(runs)} runs; as it stands {stands}")
        for quantile in QUANTILES:
            print(f"    {quantile:.0%}: {dict(zip(SHARES[kind], regressed(runs, quantile), strict=True))}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 1500, int(given[1]) if len(given) > 1 else 0, "expandable" in given)
