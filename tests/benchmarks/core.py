"""How long the core takes: one estimate, one sweep of 64 by 64. Run: python tests/benchmarks/core.py

Prints the median and the 90th percentile on this machine, beside the time that Python itself takes for a
fixed piece of work, so that figures of two machines can be compared as ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import memcalc
from memcalc.advise import advise, plan
from memcalc.solve import largest
from memcalc.solve.axes import axis
from memcalc.solve.cards import cards
from memcalc.solve.grid import grid

TRAIN: dict[str, Any] = {"model": "Llama-3.1-8B", "task": "train", "batch": 2, "hardware": {"gpu": "80GB"}}
CASES: dict[str, tuple[Callable[[], Any], int]] = {
    "train Llama-3.1-8B bf16 adamw": (lambda: memcalc.estimate(TRAIN), 200),
    "train Llama-3.1-8B bf16-mixed, checkpointing": (
        lambda: memcalc.estimate({**TRAIN, "precision": "bf16-mixed", "training": {"checkpointing": "full"}}),
        200,
    ),
    "train Llama-3.1-8B LoRA all-linear, checkpointing, accumulation": (
        lambda: memcalc.estimate(
            {
                **TRAIN,
                "training": {
                    "method": "lora",
                    "lora": {"targets": "all-linear"},
                    "checkpointing": "full",
                    "grad_accumulation": 4,
                },
            }
        ),
        200,
    ),
    "infer Llama-3.1-8B prefill and decode": (lambda: memcalc.estimate({"model": "Llama-3.1-8B"}), 200),
    "sweep Llama-3.1-8B train, batch x length, 64 x 64": (
        lambda: memcalc.sweep(TRAIN, batch=range(1, 65), seq_len=[128 * i for i in range(1, 65)]),
        20,
    ),
    "sweep Llama-3.1-8B infer, batch x prompt, 64 x 64": (
        lambda: memcalc.sweep(
            {"model": "Llama-3.1-8B"}, batch=range(1, 65), prompt_tokens=[128 * i for i in range(1, 65)]
        ),
        20,
    ),
}

_LORA = {**TRAIN, "batch": 4, "training": {"method": "lora", "lora": {"targets": "all-linear"}}}
CASES |= {
    "heat map Llama-3.1-8B train, batch x length, 100 x 100": (
        lambda: grid(TRAIN, axis(TRAIN, "batch"), axis(TRAIN, "seq_len"), range(1, 101), range(128, 12801, 128)),
        20,
    ),
    "full advice, train Llama-3.1-8B, batch 4 on 24GB": (
        lambda: advise({**TRAIN, "batch": 4, "hardware": {"gpu": "24GB"}}),
        50,
    ),
    "full advice, train Llama-3.1-8B LoRA all-linear": (lambda: advise(_LORA), 50),
    "cheapest set of changes, train Llama-3.1-8B, batch 4 on 24GB": (
        lambda: plan({**TRAIN, "batch": 4, "hardware": {"gpu": "24GB"}}),
        10,
    ),
    "largest batch, train Llama-3.1-8B LoRA": (lambda: largest(_LORA, "batch"), 50),
    "all cards of the catalogue, train Llama-3.1-8B": (lambda: cards(TRAIN), 50),
}


def yardstick() -> int:
    """A fixed piece of plain Python: a million additions."""
    total = 0
    for i in range(1_000_000):
        total += i
    return total


def timed(run: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """(median, 90th percentile) of ``rounds`` runs, in milliseconds, after two that do not count."""
    run(), run()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        found.append((time.perf_counter() - start) * 1000)
    return statistics.median(found), sorted(found)[int(len(found) * 0.9)]


def main() -> None:
    """Print the table that the README shows."""
    unit, _ = timed(yardstick, 10)
    print(f"| what | median | 90th percentile | of a million additions ({unit:.1f} ms) |\n| --- | --- | --- | --- |")
    for name, (run, rounds) in CASES.items():
        middle, slow = timed(run, rounds)
        print(f"| {name} | {middle:.1f} ms | {slow:.1f} ms | {middle / unit:.2f} |")


if __name__ == "__main__":
    main()
