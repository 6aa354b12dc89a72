"""Bringing a scenario back from a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.ui import bring, controls, decide, form, inference_settings, pins, training_settings
from memcalc.ui.form_controls import base

SLOW = 60
SCENARIO = {"model": "gpt2", "task": "train", "precision": "bf16", "seq_len": 256, "hardware": {"gpu": "24GB"}}


@pytest.mark.parametrize(
    ("scenario", "settings", "back"),
    [
        (SCENARIO, training_settings.ALL, lambda states: base(states).training()),
        ({**SCENARIO, "batch": 4, "attention": "math", "attention_mask": "padded",
          "training": {"method": "lora", "lora": {"r": 64, "targets": "all-linear"}, "checkpointing": "full",
                       "optimizer": "sgd", "optimizer_impl": "fused", "ema": True}},
         training_settings.ALL, lambda states: base(states).training()),
        ({"model": "Llama-3.1-8B", "task": "infer", "precision": "fp16", "batch": 2,
          "inference": {"prompt_tokens": 1024, "new_tokens": 64, "logits": "all"}},
         inference_settings.ALL, lambda states: base(states).inference()),
    ],
)  # fmt: skip
def test_a_scenario_goes_there_and_back(scenario: Any, settings: Any, back: Callable[[Any], Any]) -> None:
    taken = bring.one(bring.read(json.dumps(scenario).encode()))
    states, missing = bring.states_of(taken, settings)
    assert missing == []
    again = form.fill(back(states), settings, states)
    assert memcalc.estimate(again).as_dict() == memcalc.estimate(scenario).as_dict()


def test_what_the_controls_cannot_say_is_named() -> None:
    _, missing = bring.states_of({**SCENARIO, "batch": 5}, training_settings.ALL)
    assert missing == ["batch"]


HOSTILE = {
    "too large": b" " * (bring.LARGEST + 1),
    "not text": b"\xff\xfe\x00\x01",
    "not JSON": b"{",
    "too deep": b"[" * 60_000,
    "not an object": b"[]",
    "no number": b'{"model": "gpt2", "task": "train", "batch": NaN}',
    "a huge number": b'{"model": "gpt2", "task": "train", "batch": ' + b"9" * 5000 + b"}",
    "a file": b'{"model": "/etc/passwd", "task": "train"}',
    "another machine": b'{"model": {"hub": "a/b"}, "task": "train"}',
    "an unknown field": b'{"model": "gpt2", "task": "train", "__class__": 1}',
    "wrong types": b'{"model": "gpt2", "task": "train", "training": [1], "hardware": 3}',
    "the other task": b'{"model": "gpt2", "task": "infer"}',
    "markup": b'{"model": "<script>alert(1)</script>", "task": "train"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_uploads_give_a_clear_message(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w{2,} \w{2,}"):
        bring.form(training_settings.ALL, "train")(bring.one(bring.read(HOSTILE[name])))


def page(name: str) -> AppTest:
    """The page with the place for a file open."""
    test = AppTest.from_file("../app.py", default_timeout=SLOW).run()
    test.switch_page(f"pages/views/{name}.py").run()
    test.session_state["import"] = True
    return test.run()


def upload(test: AppTest, scenario: Any, name: str = "mine.json") -> AppTest:
    data = scenario if isinstance(scenario, bytes) else json.dumps(scenario).encode()
    return test.file_uploader(key="upload").upload(name, data, "application/json").run()


def test_an_upload_fills_the_controls() -> None:
    test = page("training")
    wish = {**SCENARIO, "batch": 8, "training": {"optimizer": "sgd", "ema": True}}
    upload(test, wish)
    assert not test.exception
    assert "mine" in test.success[0].value
    assert test.selectbox(key="model").value == "gpt2"
    assert test.select_slider(key="batch").value == 8
    assert test.toggle(key="ema").value
    test.toggle(key="ema").set_value(False).run()
    assert not test.success  # the word goes with the first change
    assert test.select_slider(key="batch").value == 8


@pytest.mark.parametrize("name", ["not JSON", "a file", "markup", "the other task"])
def test_a_hostile_upload_loses_nothing(name: str) -> None:
    test = page("training")
    test.select_slider(key="batch").set_value(4).run()
    upload(test, HOSTILE[name], "**x**.json")
    assert not test.exception
    assert "as they were" in test.warning[0].value
    assert "**x**" not in test.warning[0].value
    assert test.select_slider(key="batch").value == 4


def test_a_field_with_two_controls_is_missing_only_if_neither_can_say_it() -> None:
    scenario = {"model": "gpt2", "task": "train", "hardware": {"gpu": "16GB"}, "training": {"checkpointing": "none"}}
    states, missing = bring.states_of(scenario, training_settings.ALL)
    assert (states["checkpointing"], missing) == (False, [])


def test_what_no_page_has_a_control_for_is_named_too() -> None:
    _, missing = bring.states_of({**SCENARIO, "training": {"lora": {"dropout": 0.1}}}, training_settings.ALL)
    assert missing == ["training.lora.dropout"]


def test_free_memory_and_reserve_come_back() -> None:
    given = {"model": "gpt2", "hardware": {"gpu": "24GB", "free": 11 * 2**30 + 7, "reserve": 2**30}}
    states, missing = bring.first_page(given)
    assert missing == []
    settings = controls.meaning(
        {**dict.fromkeys(("size", "exact", "optimizer", "method", "checkpointing", "precision")), **states}
    )
    assert (settings.free, settings.reserve) == (11 * 2**30 + 7, 2**30)


#: A training that the first page can say in full, and one that it cannot.
PLAIN = {**SCENARIO, "batch": 4, "training": {"optimizer": "sgd", "method": "lora", "checkpointing": "full"}}
MORE = {**PLAIN, "batch": 5, "training": {**PLAIN["training"], "loss": "fused"}}
PAGES = ("fit", "training", "inference", "timeline", "batch", "advise", "sweep", "cards", "run", "compare")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_takes_a_scenario_or_says_why_not(name: str) -> None:
    test = upload(page(name), PLAIN)
    assert not test.exception
    if name == "inference":
        assert "belongs on the page Training" in test.warning[0].value
        return
    assert "mine" in test.success[0].value
    assert "no such value" not in test.success[0].value
    if name == "compare":
        assert json.loads(test.text_input(key="pins").value) == [PLAIN]
        return
    held = {key: test.session_state[key] for key in ("model", "gpu", "batch", "seq", "optimizer", "method")}
    assert held == {"model": "gpt2", "gpu": "24 GB card", "batch": 4, "seq": 256, "optimizer": "sgd", "method": "LoRA"}


@pytest.mark.parametrize("name", ["advise", "sweep", "cards"])
def test_what_the_controls_cannot_say_is_kept_beside_them(name: str) -> None:
    test = upload(page(name), MORE)
    assert not test.exception
    assert "no such value" not in test.success[0].value
    changes = decide.read(test.session_state["also"])["train"]
    assert changes == {"batch": 5, "training.loss": "fused"}


@pytest.mark.parametrize("name", ["fit", "timeline", "batch", "run"])
def test_where_nothing_is_kept_beside_the_controls_it_is_named(name: str) -> None:
    said = upload(page(name), MORE).success[0].value.replace("\\", "")
    assert "batch, training.loss" in said


def test_several_scenarios_are_pinned_on_compare_as_far_as_there_is_room() -> None:
    five = [{**PLAIN, "batch": batch} for batch in (1, 2, 4, 8, 16)]
    test = upload(page("compare"), five)
    assert json.loads(test.text_input(key="pins").value) == five[: pins.MOST]
    assert "room for 4 of its 5" in test.success[0].value.replace("\\", "")
    with pytest.raises(ValueError, match="Compare"):
        bring.one(five)
