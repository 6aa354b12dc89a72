"""The page Inference: weights, cache, temporaries, and how much more would fit."""

from __future__ import annotations

import pytest
from opened import bars, html, opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.scenario import ATTENTION, RUNTIMES
from memcalc.training.precision import INFERENCE
from memcalc.ui import inference_room, inference_settings, ledger

PAGE = "pages/views/inference.py"
LLAMA = {"model": "Llama-3.1-8B", "task": "infer", "inference": {"prompt_tokens": 2048, "new_tokens": 128}}


def page(**query: str) -> AppTest:
    """The page, opened with a link."""
    return opened(PAGE, **query)


def run(**more: object) -> ledger.Run:
    return ledger.run("Inference", memcalc.estimate({**LLAMA, **more}).as_dict())


def test_the_page_answers_at_once() -> None:
    test = page(gpu="24 GB card")
    assert not test.exception
    assert not test.warning
    assert "Inference fits" in html(test, '<div class="mc-verdicts')
    # Llama-3.1-8B: 32 layers × 8 heads × 128 × 2 (keys and values) × 2 B = 128 KiB a token; × 2,175 tokens = 272 MiB.
    said = html(test, '<dl class="mc-facts')
    assert "128 KiB" in said
    assert "272 MiB" in said
    assert "at its 2,175 tokens" in said


@pytest.mark.parametrize("precision", INFERENCE)
@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_many_settings(precision: str, attention: str, runtime: str) -> None:
    test = page(model="gpt2", seq="256", infer=precision, attention=attention, runtime=runtime)
    assert not test.exception
    assert not test.warning
    assert not test.info
    assert sum(sizes[0] for sizes in bars(test).values()) > 0


@pytest.mark.parametrize("batch", ["1", "8", "64"])
@pytest.mark.parametrize("new", ["1", "512"])
@pytest.mark.parametrize("switches", [{}, {"mask": "true"}, {"logits": "true"}])
def test_loads(batch: str, new: str, switches: dict[str, str]) -> None:
    test = page(batch=batch, new=new, gpu="80 GB card", **switches)
    assert not test.exception
    # The cache of the prompt: batch × 2,048 tokens × 128 KiB = batch / 4 GiB.
    assert bars(test)["KV cache"][0] == pytest.approx(int(batch) / 4, rel=0.01)


def test_a_single_forward_pass_has_no_cache_and_no_new_tokens() -> None:
    test = page(runtime="forward")
    assert "KV cache" not in bars(test)
    assert not any(one.key == "new" for one in test.select_slider)


def test_without_a_card_nothing_is_said_about_what_fits() -> None:
    test = page(gpu="No card")
    assert not test.exception
    assert "that fit" not in html(test, '<dl class="mc-facts')


@pytest.mark.parametrize(("axis", "path"), [("batch", "batch"), ("prompt_tokens", "inference")])
def test_what_fits_fits_and_one_more_does_not(axis: str, path: str) -> None:
    scenario = {**LLAMA, "hardware": {"gpu": "24GB"}}
    largest = inference_room.most(scenario, ledger.run("Inference", memcalc.estimate(scenario).as_dict()), axis)
    assert largest

    def verdict(number: int) -> str:
        changed = {"batch": number} if path == "batch" else {"inference": {**LLAMA["inference"], axis: number}}
        return memcalc.estimate({**scenario, **changed}).fit["verdict"]

    assert verdict(largest) == "fits"
    assert verdict(largest + 1) != "fits"


def test_learned_positions_end_the_prompt() -> None:
    # GPT-2 has 1,024 positions: with 128 new tokens (the last is not read back) 897 are left for the prompt.
    scenario = {"model": "gpt2", "task": "infer", "hardware": {"gpu": "80GB"},
                "inference": {"prompt_tokens": 256, "new_tokens": 128}}  # fmt: skip
    found = inference_room.most(scenario, ledger.run("x", memcalc.estimate(scenario).as_dict()), "prompt_tokens")
    assert found == 1024 - 127


def test_nothing_fits_on_too_small_a_card() -> None:
    scenario = {**LLAMA, "hardware": {"gpu": "8GB"}}
    answer = ledger.run("x", memcalc.estimate(scenario).as_dict())
    assert inference_room.most(scenario, answer, "batch") == 0
    assert "not even one" in inference_room.facts(scenario, answer)


def test_the_cache_of_a_sequence_is_tokens_times_bytes() -> None:
    held = inference_room.cache(run(batch=4))
    assert held is not None
    assert held.even
    assert held.token == 2 * 32 * 8 * 128 * 2
    assert held.sequence == held.token * 2175


def test_a_prompt_beyond_the_models_positions_is_shortened_with_a_word() -> None:
    test = page(model="gpt2", seq="4096")
    assert not test.exception
    # 1,024 positions, 127 of them for new tokens (the last is not read back).
    assert "1,024 tokens at most: 897 are taken" in test.warning[0].value.replace("\\", "")
    assert sum(sizes[0] for sizes in bars(test).values()) > 0
    test.select_slider(key="seq").set_value(512).run()
    assert not test.warning


def test_a_refusal_is_said_and_loses_nothing() -> None:
    test = page(model="gpt2", seq="512")
    test.select_slider(key="new").set_value(2048).run()
    assert not test.exception
    assert "no answer" in html(test, '<div class="mc-verdicts')
    assert "1,024" in " ".join(one.value for one in test.warning)
    test.select_slider(key="new").set_value(128).run()
    assert not test.warning
    assert test.select_slider(key="seq").value == 512


def test_every_setting_has_one_line_of_help() -> None:
    assert all(one.help.endswith(".") for one in inference_settings.ALL)


def test_one_visitor_never_sees_another() -> None:
    one, other = page(), page()
    one.select_slider(key="batch").set_value(8).run()
    other.run()
    assert other.select_slider(key="batch").value == 1
