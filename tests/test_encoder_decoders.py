"""Encoder-decoders: lengths of both sides, the cache of what the encoder said, and what is refused.

That sizes are right is the traces' part (test_traces.py: T5, BART, mBART, Whisper)."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.errors import ModelError, ScenarioError


def generation(model: str, **inference: Any) -> memcalc.Estimate:
    return memcalc.estimate({"model": model, "task": "infer", "batch": 2, "inference": inference})


def test_whispers_cross_cache_is_of_1500_positions_whatever_is_written() -> None:
    """whisper-small in bf16: 12 layers keep keys and values of 768 values, 2 bytes each, for 1,500 positions; and for
    each token written."""
    one = 12 * 2 * 768 * 2
    for new in (2, 100):
        found = generation("whisper-small", new_tokens=new)
        assert found.runtime is not None
        assert found.runtime["cross_kv_bytes_per_token"] == found.runtime["self_kv_bytes_per_token"] == one
        # While a layer's keys are joined with the last token's, the old ones live: 768 values for each token before.
        assert found.component_peak["kv_cache"] == 2 * (one * (1500 + new) + 768 * 2 * (new - 1))
        assert found.runtime["kv_bytes_per_sequence"] == one * (1500 + new)


def test_a_prompt_makes_no_difference_to_whisper_and_that_is_said() -> None:
    short, long = generation("whisper-tiny", prompt_tokens=10), generation("whisper-tiny", prompt_tokens=4000)
    assert short.peak == long.peak
    assert any("always has 1,500 positions" in one for one in long.assumptions)


def test_t5s_cross_cache_grows_with_the_prompt_and_its_own_with_what_is_written() -> None:
    """t5-base in bf16: 12 layers, 2 × 12 heads × 64 values, 2 bytes each."""
    one = 12 * 2 * 12 * 64 * 2
    base, more_source, more_target = (
        generation("t5-base", prompt_tokens=source, new_tokens=target).component_peak["kv_cache"]
        for source, target in ((512, 64), (1024, 64), (512, 128))
    )
    assert more_source - base == 2 * one * 512
    # A layer's old keys live while they are joined with the new: 12 heads × 64 values.
    assert more_target - base == 2 * (one + 12 * 64 * 2) * 64


def test_beams_multiply_both_caches() -> None:
    one, four = (generation("bart-base", prompt_tokens=256, new_tokens=64, beams=n).component_peak for n in (1, 4))
    assert four["kv_cache"] == 4 * one["kv_cache"]


def test_the_target_has_its_own_length_with_the_contracts_default() -> None:
    scenario = {"model": "t5-small", "task": "train", "seq_len": 512}
    usual, longer = memcalc.estimate(scenario), memcalc.estimate({**scenario, "target_len": 256})
    assert usual.scenario["target_len"] == 128
    assert longer.peak["tensors"] > usual.peak["tensors"]
    assert longer.scenario["seq_len"] == 512


@pytest.mark.parametrize(
    ("scenario", "field"),
    [
        ({"model": "whisper-tiny", "task": "train", "target_len": 449}, "target_len"),
        ({"model": "whisper-tiny", "inference": {"new_tokens": 449}}, "inference.new_tokens"),
        ({"model": "bart-base", "task": "train", "seq_len": 1025}, "seq_len"),
        ({"model": "t5-base", "inference": {"runtime": "vllm"}}, "inference.runtime"),
        ({"model": "t5-base", "inference": {"kv_cache": "int8"}}, "inference.kv_cache"),
        ({"model": "t5-base", "task": "train", "parallel": {"tensor": 2}}, "parallel.tensor"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_asked_for(scenario: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as refusal:
        memcalc.estimate(scenario)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "kind", ["umt5", "switch_transformers", "marian", "pegasus", "m2m_100", "led", "encoder-decoder", "mllama"]
)
def test_other_models_with_cross_attention_are_refused_by_name(kind: str) -> None:
    with pytest.raises(ModelError) as refusal:
        memcalc.estimate({"model": {"config": {"model_type": kind, "d_model": 64}}})
    assert refusal.value.field == "model.config.model_type"


@pytest.mark.parametrize("kind", ["gpt2", "bert", "bart"])
def test_a_decoder_that_attends_to_another_model_is_refused(kind: str) -> None:
    with pytest.raises(ModelError, match="add_cross_attention"):
        memcalc.estimate({"model": {"config": {"model_type": kind, "add_cross_attention": True}}})


def test_a_target_is_ignored_by_a_decoder_and_that_is_said() -> None:
    found = memcalc.estimate({"model": "gpt2", "task": "train", "target_len": 64})
    assert any(one.startswith("target_len is ignored") for one in found.assumptions)
