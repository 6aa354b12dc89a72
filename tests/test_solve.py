"""The solver's answer is the true edge: the value found fits, the next does not."""

from __future__ import annotations

import random
from typing import Any

import pytest

import memcalc
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.scenario.paths import put
from memcalc.solve import frontier, largest
from memcalc.solve.edge import edge

MODELS = (
    "gpt2",
    "Llama-3.2-1B",
    "Llama-3.1-8B",
    "Qwen2.5-0.5B",
    "Qwen2.5-7B",
    "SmolLM2-135M",
    "pythia-160m",
    "opt-125m",
)
CARDS = ("8GB", "12GB", "16GB", "24GB", "48GB", "80GB")


def random_scenario(dice: random.Random) -> tuple[dict[str, Any], str]:
    """A scenario and the number to search in it."""
    scenario: dict[str, Any] = {
        "model": dice.choice(MODELS),
        "batch": dice.choice((1, 2, 5, 16)),
        "attention": dice.choice(("sdpa", "sdpa", "math", "eager")),
        "attention_mask": dice.choice(("none", "padded")),
        "hardware": {"gpu": dice.choice(CARDS), "reserve": dice.choice((0, 0, 2**30))},
    }
    if dice.random() < 0.4:
        scenario["precision"] = dice.choice(("bf16", "fp16", "fp32"))
        scenario["inference"] = {"prompt_tokens": dice.choice((1, 64, 500)), "new_tokens": dice.choice((1, 100))}
        return scenario, dice.choice(("batch", "inference.prompt_tokens", "inference.new_tokens"))
    method = dice.choice(("full", "lora", "lora", "qlora"))
    training: dict[str, Any] = {
        "method": method,
        "optimizer": dice.choice(("adamw", "sgd", "adamw-8bit")),
        "checkpointing": dice.choice(("none", "full")),
        "loss": dice.choice(("standard", "fused")),
    }
    scenario |= {"task": "train", "precision": dice.choice(("bf16", "bf16-mixed", "fp32")), "training": training}
    scenario["seq_len"] = dice.choice((1, 128, 700))
    fields = ("batch", "seq_len") if method == "full" else ("batch", "seq_len", "training.lora.r")
    return scenario, dice.choice(fields)


def fits(scenario: dict[str, Any]) -> bool:
    """By the estimate alone, which knows nothing of the solver. What is refused (no such position) does not fit."""
    try:
        fit = memcalc.estimate(scenario).fit
    except MemcalcError:
        return False
    assert fit is not None
    return bool(fit["verdict"] == "fits")


@pytest.mark.parametrize("part", range(10))
def test_the_value_found_fits_and_the_next_does_not(part: int) -> None:
    """500 random scenarios, in ten parts."""
    dice = random.Random(part)
    for _ in range(50):
        scenario, path = random_scenario(dice)
        found = largest(scenario, path, check=False)
        assert found.looked < 80
        if found.value:
            assert fits(put(scenario, path, found.value)), (scenario, path, found)
        if found.value < found.quantity.high:
            assert not fits(put(scenario, path, found.value + 1)), (scenario, path, found)


def test_edges_of_functions_known_by_hand() -> None:
    assert edge(lambda n: 7 * n - 1000, 1, 10**6).value == 142  # 7 * 142 = 994
    assert edge(lambda n: n * n - 10_000, 1, 2**31 - 1).value == 100
    assert edge(lambda n: (n // 64) - 100, 1, 10**9).value == 6463  # a plateau: 6463 // 64 = 100
    assert edge(lambda n: 5, 1, 10).value == 0  # nothing fits
    assert edge(lambda n: -5, 1, 10).value == 10  # everything does
    assert edge(lambda n: max(-500, n - 4000), 1, 10**6).value == 4000  # flat, then rising


def test_where_the_values_end_it_says_why() -> None:
    def learned(n: int) -> int:
        if n > 1024:
            raise ScenarioError("no such position", "seq_len")
        return -1

    found = edge(learned, 1, 2**31 - 1)
    assert (found.value, found.why) == (1024, "no such position")
    with pytest.raises(ScenarioError):
        edge(learned, 2000, 3000)


def test_memory_that_falls_again_above_the_edge_is_said() -> None:
    """Gemma 3's mask is padded to a multiple of 8 tokens where it does not have that many already: a length that is
    such a multiple needs less than its neighbours."""
    found = largest({"model": "Gemma-3-1B", "hardware": {"gpu": "24GB"}}, "prompt_tokens")
    assert found.again
    for value in found.again:
        assert value > found.value
        assert fits({"model": "Gemma-3-1B", "hardware": {"gpu": "24GB"}, "inference": {"prompt_tokens": value}})


def test_a_frontier_is_an_edge_at_each_point() -> None:
    scenario = {"model": "Qwen2.5-0.5B", "task": "train", "hardware": {"gpu": "16GB"}}
    found = frontier(scenario, "batch", "seq_len", [1, 2, 3, 8])
    assert [batch for batch, _ in found.points] == [1, 2, 3, 8]
    for batch, length in found.points:
        assert fits({**scenario, "batch": batch, "seq_len": length})
        assert not fits({**scenario, "batch": batch, "seq_len": length + 1})


def test_what_cannot_be_searched_is_refused_by_name() -> None:
    with pytest.raises(ScenarioError) as refused:
        largest({"model": "gpt2", "task": "train", "hardware": {"gpu": "8GB"}}, "training.lora.r")
    assert refused.value.choices == ["batch", "seq_len"]
    with pytest.raises(ScenarioError) as refused:
        largest({"model": "gpt2", "task": "train"}, "batch")
    assert refused.value.field == "hardware.gpu"
