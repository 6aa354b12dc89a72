"""The page Training: every setting, what it would change, and what the core learns by itself."""

from __future__ import annotations

import json
import re
from html import escape

import pytest
from opened import opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc import units
from memcalc.scenario import CHECKPOINTING, METHODS
from memcalc.training.optimizers import IMPLEMENTATIONS
from memcalc.training.precision import TRAINING
from memcalc.ui import effects, form, training_settings
from memcalc.ui.form import Setting, get, put

PAGE = "pages/views/training.py"
SMALL = {"model": "gpt2", "seq": "256"}


def page(**query: str) -> AppTest:
    """The page, opened with a link."""
    return opened(PAGE, **query)


def htmls(test: AppTest, start: str) -> list[str]:
    return [one.proto.body for one in test.get("html") if one.proto.body.startswith(start)]


def verdict(test: AppTest) -> str:
    (shown,) = htmls(test, '<div class="mc-verdicts')
    return re.sub("<.*?>", " ", shown)


def line_of(test: AppTest, setting: str) -> str:
    """The words below a control."""
    known = next(one for one in training_settings.ALL if one.key == setting)
    found = [one for one in htmls(test, '<p class="mc-line') if escape(known.help) in one]
    return re.sub("<.*?>", " ", found[0])


def total(test: AppTest, phase: int) -> float:
    (chart,) = test.get("plotly_chart")
    return sum(one["x"][phase] for one in json.loads(chart.proto.spec)["data"] if one["type"] == "bar")


def named(key: str) -> Setting:
    return next(one for one in training_settings.ALL if one.key == key)


def test_the_page_answers_at_once_with_a_line_below_every_control() -> None:
    test = page()
    assert not test.exception
    assert not test.warning
    assert "Training needs" in verdict(test)
    drawn = [one for one in training_settings.ALL if one.supported() and one.applies({})]
    assert len(htmls(test, '<p class="mc-line')) == len(drawn)
    assert len(drawn) >= 12


def test_what_the_core_knows_is_offered() -> None:
    assert set(named("optimizer").values()) == set(IMPLEMENTATIONS)
    assert set(named("precision").values()) == set(TRAINING)
    assert set(named("method").values()) == set(METHODS)
    assert set(named("recompute").values()) == set(CHECKPOINTING) - {"none"}


def test_what_the_core_does_not_know_is_not_offered() -> None:
    nonsense = Setting("x", "x", "training.telepathy", "switch", False, "")
    assert not nonsense.supported()


@pytest.mark.parametrize("optimizer", IMPLEMENTATIONS)
def test_every_optimizer(optimizer: str) -> None:
    test = page(**SMALL, optimizer=optimizer)
    assert not test.exception
    assert total(test, 2) > 0


@pytest.mark.parametrize("key", [one.key for one in training_settings.ALL if one.kind == "switch"])
def test_every_switch_on(key: str) -> None:
    setting = named(key)
    if not setting.supported():
        pytest.skip("the core does not know it yet")
    query = {**SMALL, key: "true"}
    if not setting.applies({}):
        query |= {"method": "LoRA", "precision": "bf16-master", "optimizer": "rmsprop"}
    test = page(**query)
    assert not test.exception
    assert not test.info, [one.value for one in test.info]


@pytest.mark.parametrize("method", [named("method").name(one) for one in METHODS])
@pytest.mark.parametrize("attention", ["sdpa", "math", "eager"])
def test_every_method_with_kernels(method: str, attention: str) -> None:
    test = page(**SMALL, method=method, attention=attention)
    assert not test.exception
    assert total(test, 0) > 0


def test_the_difference_is_that_of_two_estimates() -> None:
    scenario = {"model": "Llama-3.1-8B", "task": "train", "precision": "bf16", "seq_len": 2048,
                "training": {"method": "lora"}}  # fmt: skip
    (change,) = effects.changes(named("checkpointing"), scenario)
    saved = memcalc.estimate(put(scenario, "training.checkpointing", "full")).peak["device"]
    assert change.bytes == saved - memcalc.estimate(scenario).peak["device"]
    assert change.bytes < -5 * units.GiB
    assert change.words == f"−{units.binary(-change.bytes)}"


def test_a_saver_that_only_helps_below_the_peak_says_so() -> None:
    now = effects.Peak(80 * units.GiB, {"load": units.GiB, "backward": 60 * units.GiB, "optimizer": 80 * units.GiB})
    there = effects.Peak(80 * units.GiB, {"load": 0, "backward": 48 * units.GiB, "optimizer": 80 * units.GiB})
    change = effects.difference("on", now, there)
    assert (change.words, change.aside) == ("no change", "backward pass −12.0 GiB")


def test_the_words_below_a_control_follow_it() -> None:
    test = page(method="LoRA", checkpointing="true")
    assert re.search(r"off:\s+\+[\d.]+ GiB", line_of(test, "checkpointing"))
    test.toggle(key="checkpointing").set_value(False).run()
    assert re.search(r"on:\s+−[\d.]+ GiB", line_of(test, "checkpointing"))


def test_settings_appear_where_they_mean_something() -> None:
    test = page(**SMALL)
    assert not any(one.key == "rank" for one in test.select_slider)
    test.segmented_control(key="method").set_value("LoRA").run()
    before = total(test, 0)
    test.select_slider(key="rank").set_value(256).run()
    assert not test.exception
    assert total(test, 0) > before


def test_a_refusal_is_said_at_its_control_and_loses_nothing() -> None:
    test = page(model="gpt2", seq="512", optimizer="adagrad")
    before = verdict(test)
    test.selectbox(key="impl").set_value("fused").run()
    assert not test.exception
    assert "fused" in test.warning[0].value
    assert "no answer" in verdict(test)
    test.selectbox(key="impl").set_value("foreach").run()
    assert verdict(test) == before
    assert not test.warning


def test_the_first_page_and_this_one_share_their_settings() -> None:
    test = page(seq="4096", optimizer="sgd", method="LoRA", checkpointing="true")
    here = total(test, 0)
    test.switch_page("pages/views/fit.py").run()
    assert test.select_slider(key="seq").value == 4096
    assert test.selectbox(key="optimizer").value == "sgd"
    assert test.toggle(key="checkpointing").value
    assert total(test, 0) == pytest.approx(here)
    test.switch_page(PAGE).run()
    assert total(test, 0) == pytest.approx(here)


def test_a_bad_link_is_ignored_with_a_word() -> None:
    test = page(optimizer="<b>sgdd", rank="3", colour="red")
    said = " ".join(one.value for one in test.info).replace("\\", "")
    assert all(word in said for word in ("sgdd", "rank", "colour"))
    assert not test.exception


def test_one_visitor_never_sees_another() -> None:
    one, other = page(**SMALL), page(**SMALL)
    one.toggle(key="ema").set_value(True).run()
    other.run()
    assert other.toggle(key="ema").value is False


def test_states_and_values_are_opposites() -> None:
    for setting in training_settings.ALL:
        for value in setting.values():
            state = setting.state(value)
            if setting.key == "checkpointing":
                continue  # its switch says only whether, "recompute" says how
            assert setting.value(state) == value, (setting.key, value)


def test_nonsense_in_a_state_counts_as_the_usual_value() -> None:
    scenario = form.fill({"model": "gpt2", "task": "train"}, training_settings.ALL,
                         {"rank": "x", "impl": 7, "ema": "yes", "method": "LoRA"})  # fmt: skip
    assert get(scenario, "training.ema") is None
    assert get(scenario, "training.lora.r") is None
    assert get(scenario, "training.method") == "lora"


def test_many_gpus_are_offered_and_the_answer_is_for_each_of_them() -> None:
    test = page(**SMALL, cards="8", strategy="ZeRO stage 2", gpu="24 GB card")
    assert not test.exception
    assert "on each of 8 cards" in verdict(test)
    assert set(named("strategy").values()) == {"ddp", "zero1", "zero2", "zero3", "fsdp2"}
    shown = {one.key for one in training_settings.ALL if one.applies({"parallel": {"data": 8, "strategy": "zero2"}})}
    assert {"cards", "strategy", "away", "buckets", "overlap"} <= shown
    assert not {"away3", "awayfsdp", "bucketview", "whole"} & shown


def test_one_card_shows_no_setting_of_many() -> None:
    test = page(**SMALL)
    assert "cards" not in verdict(test)
    shown = {one.key for one in training_settings.ALL if one.applies({})}
    assert not {"strategy", "away", "bucketview", "buckets"} & shown


def fold(test: AppTest, label: str):
    (found,) = [one for one in test.expander if one.label == label]
    return found


def test_rare_settings_are_folded_until_something_in_them_is_set() -> None:
    """Nothing that is not as usual is hidden: the group of a link's setting is open, and named with it."""
    test = page(model="gpt2", seq="256")
    labels = ("More memory savers", "Many GPUs", "Details of the step")
    assert not any(fold(test, label).proto.expanded for label in labels)
    assert not any("Set there" in one.value for one in test.caption)
    test = page(model="gpt2", seq="256", clip="true", cards="8")
    assert [fold(test, label).proto.expanded for label in labels] == [False, True, True]
    said = " ".join(one.value for one in test.caption).replace("\\", "")
    assert "Set there: Clip gradients." in said
    assert "Set there: Cards that share a batch: 8." in said
    test.toggle(key="clip").set_value(False).run()
    assert not fold(test, "Details of the step").proto.expanded
