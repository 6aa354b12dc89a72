"""The smallest number of cards: the number fits, and none below it does."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.solve.replicas import fewest_cards

BASE = {"task": "train", "seq_len": 512, "training": {"checkpointing": "full"}}
CASES: list[tuple[dict[str, Any], str]] = [
    ({**BASE, "model": "Llama-3.2-1B", "precision": "bf16-mixed", "hardware": {"gpu": "16GB"}}, "fsdp2"),
    ({**BASE, "model": "Llama-3.1-8B", "precision": "bf16-master", "hardware": {"gpu": "24GB"}}, "zero3"),
    ({**BASE, "model": "Llama-3.1-8B", "precision": "bf16-mixed", "hardware": {"gpu": "24GB"}}, "fsdp2"),
    ({**BASE, "model": "Llama-3.1-8B", "precision": "bf16-master", "hardware": {"gpu": "48GB"}}, "zero2"),
]


@pytest.mark.parametrize(("scenario", "strategy"), CASES)
def test_the_number_fits_and_none_below_it_does(scenario: dict[str, Any], strategy: str) -> None:
    found = fewest_cards(scenario, strategy)
    assert found is not None
    assert found.cards > 1
    for count in range(1, found.cards + 1):
        fit = memcalc.estimate({**scenario, "parallel": {"data": count, "strategy": strategy}}).fit
        assert fit is not None
        assert (fit["verdict"] == "fits") == (count == found.cards)


def test_activations_are_not_divided_by_more_cards() -> None:
    scenario = {"model": "Llama-3.1-8B", "task": "train", "seq_len": 32768, "hardware": {"gpu": "24GB"}}
    assert fewest_cards(scenario) is None
