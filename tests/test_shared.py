"""What several estimates share must change no figure; a sweep's points have the estimate's own range."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.estimate import lay
from memcalc.models import catalogue
from memcalc.shared import Shared
from memcalc.sweep import sweep_components

BASE: dict[str, Any] = {
    "model": "Qwen2.5-0.5B",
    "task": "train",
    "batch": 2,
    "seq_len": 256,
    "hardware": {"gpu": "24GB"},
}
OTHERS: tuple[dict[str, Any], ...] = (
    {},
    {"training": {"optimizer": "sgd"}},
    {"training": {"optimizer": "adamw-8bit", "checkpointing": "full"}},
    {"training": {"optimizer_impl": "fused", "grad_accumulation": 8}},
    {"training": {"grad_accumulation": 2, "ema": True, "zero_grad": "keep"}},
    {"training": {"method": "lora"}},
    {"training": {"method": "qlora", "lora": {"r": 8}}, "precision": "bf16-mixed"},
    {"training": {"loss": "fused", "optimizer": "lion"}, "batch": 1},
    {"model": {"parameters": 3e8}},
    {"model": {"parameters": 3e8}, "training": {"optimizer": "sgd"}},
    {"task": "infer", "training": None, "seq_len": None},
)


def test_estimates_that_share_tapes_are_those_that_do_not() -> None:
    shared = Shared()
    for other in (*OTHERS, *reversed(OTHERS)):
        scenario = {**BASE, **other}
        alone = memcalc.estimate(scenario)
        laid = lay(scenario, shared=shared)
        assert laid.peak == alone.peak["tensors"]
        assert [laid.above.device[0], laid.above.device[2]] == alone.range["device"]


@pytest.mark.parametrize("model", ["Llama-3.2-1B", "gpt2", "Gemma-2-2B", {"parameters": 2e9}])
@pytest.mark.parametrize("task", ["train", "infer"])
def test_a_sweeps_points_have_the_estimates_range(model: Any, task: str) -> None:
    """Flash attention's scratch and the shapes of a generic model are each point's own, not the largest corner's."""
    scenario = {"model": model, "task": task, "hardware": {"gpu": "24GB"}}
    batches, lengths = [1, 2, 7], [1, 100, 513]
    axis = "seq_len" if task == "train" else "prompt_tokens"
    grid = memcalc.sweep(scenario, batch=batches, **{axis: lengths})
    for i, batch in enumerate(batches):
        for j, length in enumerate(lengths):
            point = {**scenario, "batch": batch}
            point |= {"seq_len": length} if task == "train" else {"inference": {"prompt_tokens": length}}
            one = memcalc.estimate(point)
            assert [grid.device_low[i, j], grid.device_high[i, j]] == one.range["device"]
            assert grid.device[i, j] == one.peak["device"]


FAMILIES = {entry.config["model_type"]: name for name, entry in reversed(catalogue.entries().items())}


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("task", ["train", "infer"])
def test_every_familys_sweep_over_the_batch_is_its_estimates(model: str, task: str) -> None:
    more: dict[str, Any] = {"seq_len": 64} if task == "train" else {"inference": {"prompt_tokens": 48, "new_tokens": 4}}
    scenario = {"model": model, "task": task, **more}
    batches = [1, 2, 5]
    grid = memcalc.sweep(scenario, batch=batches)
    assert list(grid.device) == [memcalc.estimate({**scenario, "batch": one}).peak["device"] for one in batches]


@pytest.mark.parametrize("model", ["Llama-3.2-1B", "gpt2", "Gemma-2-2B"])
@pytest.mark.parametrize(
    "more",
    [
        {"task": "train"},
        {"task": "train", "training": {"checkpointing": "full", "grad_accumulation": 2}},
        {"task": "train", "precision": "bf16-mixed", "training": {"method": "lora", "optimizer_impl": "fused"}},
        {"task": "infer"},
    ],
)
def test_a_sweeps_components_are_the_estimates_own(model: str, more: dict[str, Any]) -> None:
    scenario = {"model": model, **more}
    batches, lengths = [1, 2, 9], [1, 70, 513]
    axis = "seq_len" if more["task"] == "train" else "prompt_tokens"
    grid = sweep_components(scenario, batch=batches, **{axis: lengths})
    assert grid.components is not None
    assert (sum(grid.components.values()) == grid.tensors).all()
    for i, batch in enumerate(batches):
        for j, length in enumerate(lengths):
            point = {**scenario, "batch": batch}
            point |= {"seq_len": length} if axis == "seq_len" else {"inference": {"prompt_tokens": length}}
            found = {name: int(sizes[i, j]) for name, sizes in grid.components.items()}
            assert found == memcalc.estimate(point).at_peak


def test_expandable_segments_change_what_is_reserved_and_nothing_else() -> None:
    one, other = memcalc.estimate(BASE), memcalc.estimate({**BASE, "expandable_segments": True})
    assert other.peak["tensors"] == one.peak["tensors"]
    assert other.peak["allocated"] == one.peak["allocated"]
    assert other.peak["reserved"] < one.peak["reserved"]
    assert other.scenario["expandable_segments"] is True
