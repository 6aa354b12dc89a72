"""Advice is the difference of two estimates; the plan is enough, and nothing in it can be spared."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import pytest

import memcalc
from memcalc.advise import advise, plan
from memcalc.advise.advice import candidates
from memcalc.advise.changes import PAIN, smaller
from memcalc.advise.inference import bits
from memcalc.errors import MemcalcError
from memcalc.solve.verdict import understood

TRAIN: dict[str, Any] = {"model": "Llama-3.2-1B", "task": "train", "batch": 4, "hardware": {"gpu": "16GB"}}
INFER: dict[str, Any] = {"model": "Llama-3.1-8B", "batch": 32, "hardware": {"gpu": "24GB"}}
CASES = (
    TRAIN,
    {**TRAIN, "hardware": {"gpu": "8GB"}},
    {**TRAIN, "precision": "bf16-mixed", "attention": "eager", "attention_mask": "padded"},
    {**TRAIN, "training": {"method": "lora", "lora": {"targets": "all-linear", "r": 64}}, "batch": 16},
    {**TRAIN, "precision": "fp32", "training": {"ema": True, "zero_grad": "keep"}},
    {**TRAIN, "model": {"parameters": 2e9}},
    INFER,
    {**INFER, "precision": "fp32", "attention": "eager"},
)


def high(scenario: dict[str, Any]) -> int:
    return int(memcalc.estimate(scenario).range["device"][1])


@pytest.mark.parametrize("scenario", CASES)
def test_every_saving_is_the_difference_of_two_estimates(scenario: dict[str, Any]) -> None:
    found = advise(scenario)
    assert found.items
    now = high(scenario)
    for item in found.items:
        changed = item.change.apply(found.scenario)
        assert item.verdict.high == high(changed)
        if not item.phase:
            assert item.saves == now - high(changed) > 0
        fit = memcalc.estimate(changed).fit
        assert fit is not None
        assert item.verdict.state == fit["verdict"]


@pytest.mark.parametrize("scenario", CASES)
def test_what_fits_by_itself_comes_first_and_is_sorted_by_its_cost(scenario: dict[str, Any]) -> None:
    found = advise(scenario)
    alone = [item.verdict.fits for item in found.items]
    assert alone == sorted(alone, reverse=True)
    pains = [item.change.cost.pain for item in found.items if item.verdict.fits]
    assert pains == sorted(pains)


@pytest.mark.parametrize("scenario", CASES)
def test_nothing_is_offered_that_the_core_refuses_and_every_change_says_its_cost(scenario: dict[str, Any]) -> None:
    asked = understood(scenario)
    offered = candidates(asked)
    assert len({change.key for change in offered}) == len(offered)
    for change in offered:
        memcalc.estimate(change.apply(asked))  # raises for what is refused
        assert change.cost.words
        assert min(PAIN) <= change.cost.pain <= max(PAIN)


@pytest.mark.parametrize("scenario", CASES)
def test_a_plan_is_enough_and_nothing_in_it_can_be_spared(scenario: dict[str, Any]) -> None:
    found = plan(scenario)
    fit = memcalc.estimate(found.scenario).fit
    assert fit is not None
    assert (fit["verdict"] == "fits") == found.fits
    assert len({change.group for change in found.changes}) == len(found.changes)
    if not found.fits:
        return
    asked = understood(scenario)
    for count in range(len(found.changes)):
        for fewer in combinations(found.changes, count):
            less = asked
            for change in fewer:
                less = change.apply(less)
            try:
                still = memcalc.estimate(less).fit
            except MemcalcError:
                continue
            assert still is not None
            assert still["verdict"] != "fits", [change.title for change in fewer]


def test_a_plan_is_the_cheapest_of_all_sets() -> None:
    """Against every set of at most two costly changes, each with all the cheap ones, by brute force."""
    scenario = {**TRAIN, "hardware": {"gpu": "12GB"}}
    found = plan(scenario)
    assert found.fits
    asked = understood(scenario)
    offered = [item.change for item in advise(scenario).items]
    cheap = [one for one in offered if one.minor]
    cost = sum(one.cost.pain for one in found.changes if not one.minor)
    for count in (0, 1, 2):
        for some in combinations([one for one in offered if not one.minor], count):
            if len({one.group for one in some}) < count or sum(one.cost.pain for one in some) >= cost:
                continue
            made = asked
            for one in (*cheap, *some):
                made = one.apply(made)
            fit = memcalc.estimate(made).fit
            assert fit is not None
            assert fit["verdict"] != "fits", [one.title for one in some]


def test_advice_is_the_same_every_time() -> None:
    one, other = plan(CASES[2]), plan(dict(reversed(CASES[2].items())))
    assert [change.key for change in one.changes] == [change.key for change in other.changes]


def test_a_scenario_that_fits_needs_no_plan_but_still_has_advice() -> None:
    scenario = {**TRAIN, "hardware": {"gpu": "80GB"}, "batch": 2}
    assert plan(scenario).changes == ()
    assert advise(scenario).items


def test_what_cannot_fit_is_said_with_the_closest_set() -> None:
    found = plan({"model": "Llama-3.1-405B", "task": "train", "batch": 8, "hardware": {"gpu": "8GB"}})
    assert not found.fits
    assert found.verdict.high < high({"model": "Llama-3.1-405B", "task": "train", "batch": 8})


def test_without_a_card_savings_are_known_and_verdicts_are_not() -> None:
    found = advise({"model": "gpt2", "task": "train", "batch": 8})
    assert found.items[0].saves > 0
    assert {item.verdict.state for item in found.items} == {"unknown"}


def test_a_smaller_micro_batch_keeps_the_step() -> None:
    """batch x accumulation stays: 6 = 3 x 2; a prime goes to 1."""
    assert [smaller(number) for number in (2, 6, 7, 9, 12)] == [1, 3, 1, 3, 6]
    dice = random.Random(1)
    for _ in range(20):
        batch, steps = dice.randint(2, 40), dice.randint(1, 4)
        scenario = {**TRAIN, "batch": batch, "training": {"grad_accumulation": steps}}
        for change in candidates(understood(scenario)):
            if change.group == "batch":
                sets = dict(change.sets)
                assert sets["batch"] * sets["training.grad_accumulation"] == batch * steps


def test_bits_of_formats_by_their_names() -> None:
    names = ("int8", "fp8", "nf4-dq", "gptq-4bit-g128", "mxfp4", "gguf:Q4_K_M", "gguf:Q8_0", "q4_0", "same")
    assert [bits(name) for name in names] == [8, 8, 4, 4, 4, 4, 8, 4, 16]


def test_a_change_of_the_weights_that_costs_hardly_anything_is_part_of_every_set() -> None:
    """fp32 weights of 8 B parameters (30 GiB) fit no 24 GB card whatever else is done; in bf16 they do."""
    scenario = {**INFER, "precision": "fp32"}
    found = plan(scenario)
    assert found.fits
    assert "precision-bf16" in {change.key for change in found.changes}
