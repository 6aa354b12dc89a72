"""Taking an answer along and bringing a scenario back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc import units
from memcalc.ui import export, figures, form, inference_settings, ledger, training_settings
from memcalc.ui.form_controls import base

SLOW = 60
SCENARIO = {"model": "gpt2", "task": "train", "precision": "bf16", "seq_len": 256, "hardware": {"gpu": "24GB"}}


@pytest.fixture(scope="module")
def run() -> ledger.Run:
    return ledger.run("Training", memcalc.estimate(SCENARIO).as_dict())


def test_the_json_is_the_contracts_and_can_be_asked_again(run: ledger.Run) -> None:
    estimate = json.loads(export.as_json([run.estimate]))
    assert estimate == json.loads(json.dumps(run.estimate))
    again = memcalc.estimate({key: value for key, value in estimate["scenario"].items() if value is not None})
    assert again.peak == estimate["peak"]


def test_several_estimates_are_a_list(run: ledger.Run) -> None:
    assert len(json.loads(export.as_json([run.estimate, run.estimate]))) == 2


def test_the_csv_adds_up_to_each_phase(run: ledger.Run) -> None:
    rows = list(csv.DictReader(io.StringIO(export.as_csv([run]))))
    for bar in run.bars:
        assert sum(int(row["bytes"]) for row in rows if row["phase"] == bar.phase) == bar.total
    assert float(rows[0]["GiB"]) == pytest.approx(int(rows[0]["bytes"]) / 2**30, abs=1e-4)


def test_the_markdown_is_a_table_with_three_digits(run: ledger.Run) -> None:
    text = export.as_markdown([run])
    assert "| weights | 237 MiB | 237 MiB | 237 MiB | 124,439,808 parameters × 2 B |" in text
    assert "**fits**" in text
    assert json.loads(text.split("```json")[1].split("```")[0])["model"] == "gpt2"


def test_text_from_outside_is_inert_in_the_markdown(run: ledger.Run) -> None:
    loud = {**run.estimate, "assumptions": ["<script>x</script> [a](b) | c"]}
    text = export.as_markdown([ledger.run("Training", loud)])
    assert "\\<script\\>" in text
    assert "\\[a\\](b) \\| c" in text


def test_the_figure_stands_alone(run: ledger.Run) -> None:
    page = export.as_html(figures.phase_bars([run], "card", 24 * units.GiB), "name", "in words <i>")
    assert 'src="http' not in page  # the drawing code is inside
    assert len(page) > 1_000_000
    assert "in words &lt;i&gt;" in page


def test_the_camera_is_the_charts_only_button() -> None:
    config = export.camera("name")
    assert config["modeBarButtons"] == [["toImage"]]
    assert config["toImageButtonOptions"]["filename"] == "name"


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
    taken = export.read_scenario(json.dumps(scenario).encode(), scenario["task"])
    states, missing = export.states_of(taken, settings)
    assert missing == []
    again = form.fill(back(states), settings, states)
    assert memcalc.estimate(again).as_dict() == memcalc.estimate(scenario).as_dict()


def test_what_the_controls_cannot_say_is_named() -> None:
    _, missing = export.states_of({**SCENARIO, "batch": 5}, training_settings.ALL)
    assert missing == ["batch"]


HOSTILE = {
    "too large": b" " * (export.LARGEST + 1),
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
        export.read_scenario(HOSTILE[name], "train")


def page(name: str) -> AppTest:
    test = AppTest.from_file("../app.py", default_timeout=SLOW).run()
    test.switch_page(f"pages/views/{name}.py")
    return test.run()


def test_an_upload_fills_the_controls() -> None:
    test = page("training")
    wish = {**SCENARIO, "batch": 8, "training": {"optimizer": "sgd", "ema": True}}
    test.file_uploader(key="upload").upload("mine.json", json.dumps(wish).encode(), "application/json").run()
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
    test.file_uploader(key="upload").upload("**x**.json", HOSTILE[name], "application/json").run()
    assert not test.exception
    assert "as they were" in test.warning[0].value
    assert "**x**" not in test.warning[0].value
    assert test.select_slider(key="batch").value == 4


@pytest.mark.parametrize("name", ["training", "inference"])
def test_every_kind_of_file_is_offered(name: str) -> None:
    labels = {one.proto.label for one in page(name).get("download_button")}
    assert {"Estimate, JSON", "Estimate, CSV", "Estimate, Markdown", "Figure, HTML", "Scenario, JSON"} <= labels


def test_a_field_with_two_controls_is_missing_only_if_neither_can_say_it() -> None:
    scenario = {"model": "gpt2", "task": "train", "hardware": {"gpu": "16GB"}, "training": {"checkpointing": "none"}}
    states, missing = export.states_of(scenario, training_settings.ALL)
    assert (states["checkpointing"], missing) == (False, [])
