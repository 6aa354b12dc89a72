"""The rest of a run: composed of estimates, each line by hand; and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.errors import ScenarioError
from memcalc.rest import Line, Rest, WholeRun, whole_run

ROOT = Path(__file__).parent.parent
GPT2 = 124_439_808
"""Parameters of gpt2 (published: 124M; transformers' GPT2LMHeadModel on the meta device)."""
BASE: dict[str, Any] = {
    "model": "gpt2", "task": "train", "precision": "fp32", "batch": 2, "seq_len": 128, "hardware": {"gpu": "16GB"},
}  # fmt: skip


def line(found: WholeRun, key: str) -> Line:
    return next(one for one in found.lines if one.key == key)


def test_without_anything_the_run_is_the_training_step() -> None:
    found, alone = whole_run(BASE, Rest()), memcalc.estimate(BASE)
    assert [found.low, found.high] == alone.range["device"]
    assert alone.fit is not None
    assert found.state == alone.fit["verdict"]


def test_evaluation_by_hand() -> None:
    """Weights and two Adam states stand; on top the pass's own tensors, and at most 8 bytes a token and word for the
    loss: logits in fp32 and their log-softmax."""
    found = line(whole_run(BASE, Rest(evaluation=4)), "evaluation")
    standing = 3 * 4 * GPT2
    forward = memcalc.estimate(
        {"model": "gpt2", "precision": "fp32", "batch": 4, "inference": {"runtime": "forward", "prompt_tokens": 128}}
    )
    own = forward.peak["tensors"] - forward.at_peak["weights"]
    assert found.low == pytest.approx(standing + own, rel=2e-3)  # each tensor is rounded up to 512 bytes
    assert found.high - found.low == 8 * 4 * 128 * 50257


def test_dpo_trains_pairs_beside_a_frozen_copy() -> None:
    found = whole_run(BASE, Rest(preference="dpo"))
    pairs = memcalc.estimate({**BASE, "batch": 4})
    assert line(found, "step").high == pytest.approx(pairs.peak["tensors"] + 4 * GPT2, rel=1e-3)
    alone = whole_run(BASE, Rest(preference="dpo", reference=False))
    assert line(alone, "step").high == pairs.peak["tensors"]


def test_adapters_need_no_second_copy() -> None:
    scenario = {**BASE, "training": {"method": "lora"}}
    found = whole_run(scenario, Rest(preference="dpo"))
    assert line(found, "step").high == memcalc.estimate({**scenario, "batch": 4}).peak["tensors"]
    assert any("adapters switched off" in one for one in found.assumptions)


def test_grpo_has_rollouts_reference_and_reward() -> None:
    found = whole_run(BASE, Rest(preference="grpo", completion=64, reward="distilgpt2"))
    assert {one.key for one in found.lines if one.where == "device"} == {"step", "rollout", "reference", "reward"}
    longer = memcalc.estimate({**BASE, "seq_len": 192})
    reward = memcalc.estimate({"model": "distilgpt2", "task": "infer"}).persistent  # bf16
    assert line(found, "step").high == pytest.approx(longer.peak["tensors"] + 4 * GPT2 + reward, rel=1e-3)


def test_the_run_needs_its_highest_moment() -> None:
    found = whole_run(BASE, Rest(evaluation=128))
    top = max(one.high for one in found.lines if one.where == "device")
    alone = memcalc.estimate(BASE)
    assert top > alone.peak["tensors"]
    assert found.high == top + alone.range["device"][1] - alone.peak["tensors"]


def test_checkpoints_by_hand() -> None:
    """fp32 weights and two states: 12 bytes a parameter. Adapters: 2 x 12 layers x rank 16 of c_attn (768 -> 2304)."""
    assert line(whole_run(BASE, Rest()), "checkpoint").low == pytest.approx(12 * GPT2, rel=2e-3)
    adapters = 12 * 16 * (768 + 2304)
    found = whole_run({**BASE, "training": {"method": "lora"}}, Rest())
    assert line(found, "model file").low == 4 * adapters
    assert line(found, "checkpoint").low == pytest.approx(12 * adapters, rel=0.02)


def test_every_line_has_its_formula_and_source_and_a_range() -> None:
    for one in whole_run(BASE, Rest(8, (4, 64, 32), "grpo", 64, True, "gpt2")).lines:
        assert one.formula
        assert one.source
        assert 0 < one.low <= one.high


def test_inference_has_no_rest() -> None:
    with pytest.raises(ScenarioError):
        whole_run({"model": "gpt2"}, Rest())


@pytest.mark.parametrize("link", [{}, {"pref": "DPO"}, {"pref": "GRPO", "reward": "gpt2"}, {"sample": "true"}])
def test_the_page_draws(link: dict[str, str]) -> None:
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in ({"model": "gpt2", "seq": "256"} | link).items():
        test.query_params[name] = value
    test.switch_page("pages/views/run.py").run()
    assert not test.exception
    assert any("The whole run" in one.value for one in test.markdown)
