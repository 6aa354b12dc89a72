"""Denoisers by themselves: what a picture's size and a text's length do, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.errors import MemcalcError
from tests.trace_cases_denoisers import DIT, UNET


def asked(config: dict[str, Any] = UNET, **more: Any) -> dict[str, Any]:
    return {"model": {"diffusers": config}, "task": "train", "precision": "bf16", "batch": 2, **more}


def test_parameters_are_the_published_ones() -> None:
    """Stable Diffusion 1.5's U-Net and DiT-XL/2 as their papers and code count them: 860 M and 675 M; diffusers' DiT
    has an embedder of time and label in every block, 74.8 M more in all 28 of them."""
    counts = [memcalc.estimate(asked(config)).parameters["total"] for config in (UNET, DIT)]
    assert counts == [859_520_964, 749_826_464]


def test_the_condition_is_as_long_as_the_text() -> None:
    """77 more tokens of 768 values, 2 bytes each, for 2 rows."""
    short, long = (memcalc.estimate(asked(text_len=length)).phases[1]["at_peak"] for length in (77, 154))
    assert long["temporary"] - short["temporary"] >= 77 * 768 * 2 * 2
    assert memcalc.estimate(asked()).scenario["text_len"] == 77


def test_a_pipeline_that_has_the_u_net_is_another_model() -> None:
    whole = memcalc.estimate({"model": "SD-1.5", "task": "infer"})
    alone = memcalc.estimate(asked(task="infer"))
    assert [one["name"] for one in alone.phases] == ["load", "forward"]
    assert "denoise" in [one["name"] for one in whole.phases]
    assert alone.persistent < whole.persistent


@pytest.mark.parametrize(
    ("field", "scenario"),
    [
        ("image_size", asked(image_size=500)),
        ("text_len", asked(text_len=0)),
        ("training.method", asked(training={"method": "lora"})),
        ("training.optimizer", asked(training={"optimizer": "muon"})),
        ("training.checkpointing", asked(training={"checkpointing": "selective-ops"})),
        ("parallel.strategy", asked(parallel={"data": 2, "strategy": "zero3"})),
        ("inference.runtime", asked(task="infer", inference={"runtime": "vllm"}, hardware={"gpu": "24GB"})),
        ("model.diffusers.use_linear_projection", asked(UNET | {"use_linear_projection": True})),
        ("model.diffusers.transformer_layers_per_block", asked(UNET | {"transformer_layers_per_block": [1, 2, 10]})),
        ("model.diffusers.block_out_channels", asked(UNET | {"block_out_channels": [320, "640"]})),
        ("model.diffusers.block_out_channels", asked(UNET | {"block_out_channels": [100, 200, 300, 300]})),
        ("model.diffusers.down_block_types", asked(UNET | {"down_block_types": ["DownBlock2D"]})),
        ("model.diffusers.attention_head_dim", asked(UNET | {"attention_head_dim": 7})),
        ("model.diffusers.norm_type", asked(DIT | {"norm_type": "ada_norm_single"})),
        ("model.diffusers.sample_size", asked(DIT | {"sample_size": 33})),
    ],
)
def test_what_has_no_program_is_refused_by_name(field: str, scenario: dict[str, Any]) -> None:
    with pytest.raises(MemcalcError) as refused:
        memcalc.estimate(scenario)
    assert refused.value.field == field


def test_a_text_length_means_nothing_to_a_model_that_reads_text() -> None:
    found = memcalc.estimate({"model": "gpt2", "task": "train", "seq_len": 128, "text_len": 77})
    assert any("text_len is ignored" in one for one in found.assumptions)


def test_a_sweep_over_the_batch_agrees_with_each_estimate() -> None:
    grid = memcalc.sweep(asked(DIT), batch=[1, 4, 9])
    assert list(grid.tensors) == [memcalc.estimate(asked(DIT, batch=one)).peak["tensors"] for one in (1, 4, 9)]
