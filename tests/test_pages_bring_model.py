"""Bringing a model that the catalogue lacks: on every page, from the Hub, a file or a text, and by a link."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import Answer
from streamlit.testing.v1 import AppTest
from test_model_files import tensors, write

import memcalc
from memcalc.errors import MemcalcError
from memcalc.models import catalogue, packed, portable
from memcalc.ui import bring, bring_model, compare_view, controls, export, ledger, own_models, pins

CONFIG: dict[str, Any] = {**catalogue.find("Llama-3.2-1B").config, "num_hidden_layers": 9, "torch_dtype": "bfloat16"}
MODEL = portable.carried({"config": CONFIG, "name": "Nine-Blocks"})
OWN = packed.pack(MODEL)
PAGES = ("fit", "training", "inference", "timeline", "batch", "advise", "sweep", "cards", "run")


def page(name: str, opened: bool = False, **link: str) -> AppTest:
    test = AppTest.from_file("../app.py", default_timeout=60)
    for key, value in link.items():
        test.query_params[key] = value
    test.switch_page(f"pages/views/{name}.py").run()
    if opened:
        test.session_state["bring-model"] = True
        test.run()
    assert not test.exception
    return test


def said(test: AppTest) -> str:
    return " ".join(one.value for one in (*test.warning, *test.info, *test.toast, *test.caption)).replace("\\", "")


def press(test: AppTest, label: str) -> AppTest:
    (button,) = [one for one in test.button if one.label == label]
    button.click().run()
    assert not test.exception
    return test


def look_up(test: AppTest, name: str) -> AppTest:
    test.text_input(key="bring-hub").set_value(name)
    return press(test, "Look it up (uses the network)")


def upload(test: AppTest, name: str, data: bytes, key: str = "bring-file") -> None:
    test.file_uploader(key=key).upload(name, data, "application/json").run()
    assert not test.exception


def served(body: Any, code: int = 200) -> Answer:
    return lambda path, token: (code, json.dumps(body).encode(), {})


@pytest.mark.parametrize("name", PAGES)
def test_a_link_with_a_model_shows_it_without_a_file_or_a_network(
    name: str, serve: Callable[[Answer], list[str]]
) -> None:
    asked = serve(served(CONFIG))
    test = page(name, own=OWN, model="Nine-Blocks", gpu="24 GB card")
    (chosen,) = [one for one in test.selectbox if one.key == "model"]
    assert (chosen.value, chosen.options[0]) == ("Nine-Blocks", "Nine-Blocks")
    assert "ignored" not in said(test)
    assert "it is in the link" in said(test)
    assert test.query_params["own"] == OWN
    assert test.query_params["model"] == "Nine-Blocks"
    assert asked == []


@pytest.mark.parametrize("name", PAGES)
def test_a_wild_link_falls_back_with_a_word(name: str) -> None:
    test = page(name, own=OWN[:30], model="Nine-Blocks")
    assert test.selectbox(key="model").value == "Llama-3.1-8B"
    assert "own model 1 cannot be used: it was cut short" in said(test)


@pytest.mark.parametrize("name", PAGES)
def test_a_model_is_looked_up_when_the_button_is_pressed_and_never_again(
    name: str, serve: Callable[[Answer], list[str]]
) -> None:
    asked = serve(served(CONFIG))
    test = page(name, opened=True)
    look_up(test, "some/Nine-Blocks")
    assert asked == ["/some/Nine-Blocks/resolve/main/config.json"]
    assert test.selectbox(key="model").value == "Nine-Blocks"
    kept = own_models.read(test.text_input(key="own").value)[0][0].model
    assert kept == {**MODEL, "repository": "some/Nine-Blocks"}
    test.run()
    test.session_state["bring-model"] = True
    test.run()
    assert len(asked) == 1


def test_the_model_goes_along_to_the_other_pages(serve: Callable[[Answer], list[str]]) -> None:
    serve(served(CONFIG))
    test = look_up(page("fit", opened=True), "some/Nine-Blocks")
    for name in (*PAGES[1:], "compare", "training", "learn", "fit"):
        test.switch_page(f"pages/views/{name}.py").run()
        assert not test.exception
        if name != "compare":
            assert test.selectbox(key="model").value == "Nine-Blocks", name
        assert "Nine-Blocks" in test.session_state["model"]


REFUSED = [
    ("", 200, "org/name"),
    ("no such name", 200, "org/name"),
    ("../../etc/passwd", 200, "org/name"),
    ("/etc/passwd:x.gguf", 200, "a file of the server's cannot be named here"),
    ("some/gated", 401, "it is gated, private or missing"),
    ("some/gated", 403, "it is gated, private or missing"),
    ("some/missing", 404, "the Hub has no config.json of some/missing"),
    ("some/broken", 500, "HTTP 500"),
]


@pytest.mark.parametrize(("name", "code", "words"), REFUSED)
def test_what_goes_wrong_at_the_hub_is_said_beside_the_field(
    name: str, code: int, words: str, serve: Callable[[Answer], list[str]]
) -> None:
    serve(served({"model_type": "x"}, code))
    test = page("training", opened=True, batch="4", optimizer="sgd")
    look_up(test, name)
    assert words in said(test)
    assert test.text_input(key="bring-hub").value == name
    assert (test.selectbox(key="model").value, test.select_slider(key="batch").value) == ("Llama-3.1-8B", 4)


def test_offline_is_said_beside_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in said(look_up(page("fit", opened=True), "some/model"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "127.0.0.1:9 cannot be reached" in said(look_up(page("fit", opened=True), "some/model"))


def test_a_model_of_the_catalogue_is_chosen_there(serve: Callable[[Answer], list[str]]) -> None:
    asked = serve(served(CONFIG))
    test = look_up(page("fit", opened=True), "openai-community/gpt2")
    assert test.selectbox(key="model").value == "gpt2"
    assert test.text_input(key="own").value == ""
    assert asked == []


def test_a_gguf_file_of_the_hub_is_read_by_its_header(serve: Callable[[Answer], list[str]], tmp_path: Path) -> None:
    file = write(tmp_path / "small.gguf", tensors())
    asked = serve(lambda path, token: (200, file.read_bytes(), {}))
    test = page("inference", opened=True, runtime="llama.cpp", gpu="24 GB card")
    look_up(test, "https://huggingface.co/some/small-GGUF/blob/main/small.gguf")
    assert asked == ["/some/small-GGUF/resolve/main/small.gguf"]
    assert test.selectbox(key="model").value == "Small Llama"
    assert "The header of a GGUF file, of some/small-GGUF@main:small.gguf; it is in the link" in said(test)


@pytest.mark.parametrize("name", PAGES)
def test_a_text_is_taken_under_the_name_that_it_is_given(name: str) -> None:
    test = page(name, opened=True)
    test.text_area(key="bring-text").set_value(json.dumps(CONFIG))
    test.text_input(key="bring-name").set_value("My <b>own</b> *model*")
    press(test, "Take this text")
    assert test.selectbox(key="model").value == "My <b>own</b> *model*"


BAD = {
    "nothing": ("", "not valid JSON"),
    "broken": ('{"model_type": ', "not valid JSON"),
    "deep": ("[" * 50_000, "not valid JSON|nested too deeply"),
    "deep within": (json.dumps({"model_type": "llama", "x": json.loads("[" * 90 + "]" * 90)}), "nested too deeply"),
    "a list": ("[]", "not a JSON object"),
    "unknown": ('{"model_type": "never-heard-of"}', "no program yet for model_type"),
    "no type": ("{}", "lacks model_type"),
    "a scenario": ('{"model": {"config": {}}, "config": 1}', "Bring a scenario"),
    "huge numbers": (json.dumps({**CONFIG, "hidden_size": 10**30}), "hidden_size must be a whole number"),
    "NaN": (json.dumps({**CONFIG, "hidden_size": float("nan")}), "hidden_size must be a whole number"),
    "another head": (json.dumps({**CONFIG, "architectures": ["LlamaForTokenClassification"]}), "no program yet"),
    "large": (" " * (bring_model.LARGEST + 1), "larger than 1.00 MiB"),
    "markup": ('{"model_type": "<script>alert(1)</script>"}', "no program yet"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_configurations_are_refused_in_words(kind: str) -> None:
    text, words = BAD[kind]
    with pytest.raises(MemcalcError, match=words):
        bring_model.of_text(text.encode())


def test_a_bad_text_is_refused_beside_the_field_and_stays_there() -> None:
    test = page("fit", opened=True)
    test.text_area(key="bring-text").set_value('{"model_type": "never-heard-of"}')
    press(test, "Take this text")
    assert "Not taken: no program yet for model_type 'never-heard-of'" in said(test)
    assert test.text_area(key="bring-text").value == '{"model_type": "never-heard-of"}'
    assert test.selectbox(key="model").value == "Llama-3.1-8B"


def test_an_uploaded_file_is_taken_under_its_own_name() -> None:
    test = page("fit", opened=True)
    upload(test, "tiny.config.json", json.dumps(CONFIG).encode())
    assert not test.exception
    assert test.selectbox(key="model").value == "tiny"
    test.session_state["bring-model"] = True
    test.run()
    upload(test, "x.json", b"\xff\xfe\x00")
    assert "Not taken: it is not text in UTF-8" in said(test)
    assert test.selectbox(key="model").value == "tiny"


def test_names_that_are_taken_are_told_apart() -> None:
    texts = [packed.pack({**MODEL, "name": "gpt2"}), packed.pack({**MODEL, "name": "A"}), OWN]
    other = packed.pack({**MODEL, "name": "A", "config": {**MODEL["config"], "num_hidden_layers": 4}})
    assert [one.label for one in own_models.labelled([*texts, other])] == ["gpt2 (own)", "A", "Nine-Blocks", "A (2)"]


def test_four_are_held_the_newest_first_and_one_can_be_taken_out() -> None:
    test = page("fit", own=OWN, model="Nine-Blocks")
    for number in range(5):
        test.session_state["bring-model"] = True
        test.run()
        test.text_area(key="bring-text").set_value(json.dumps({**CONFIG, "num_hidden_layers": 20 + number}))
        test.text_input(key="bring-name").set_value(f"M{number}")
        press(test, "Take this text")
        assert test.selectbox(key="model").value == f"M{number}"
    assert test.selectbox(key="model").options[:5] == ["M4", "M3", "M2", "M1", catalogue.names()[0]]
    test.session_state["bring-model"] = True
    test.run()
    press(test, "M4")
    assert test.selectbox(key="model").value == "Llama-3.1-8B"
    assert test.selectbox(key="model").options[:4] == ["M3", "M2", "M1", catalogue.names()[0]]


def long_model() -> dict[str, Any]:
    """A model whose description cannot be pressed into a link: thousands of numbers of layers that it does not have."""
    draw = random.Random(1)
    far = [draw.randrange(100, 10**9) for _ in range(1000)]
    return {**catalogue.find("Qwen1.5-MoE-A2.7B").config, "mlp_only_layers": far}


def test_what_is_too_long_for_a_link_is_said_and_goes_by_a_file() -> None:
    test = page("fit", opened=True)
    test.text_area(key="bring-text").set_value(json.dumps(long_model()))
    test.text_input(key="bring-name").set_value("Long")
    press(test, "Take this text")
    assert test.selectbox(key="model").value == "Long"
    assert "too many for a link" in said(test)
    assert test.text_input(key="own").value == ""
    test.run()
    assert test.selectbox(key="model").value == "Long"


SCENARIO = {"model": MODEL, "task": "train", "batch": 2, "seq_len": 512, "hardware": {"gpu": "24GB"}}


@pytest.mark.parametrize("name", PAGES)
def test_a_scenario_with_such_a_model_is_pinned_and_brought_back(name: str) -> None:
    test = page(name)
    test.session_state["import"] = True
    test.run()
    scenario = {**SCENARIO, "task": "infer", "seq_len": None} if name == "inference" else SCENARIO
    upload(test, "mine.json", json.dumps(scenario).encode(), "upload")
    assert not test.exception
    assert test.selectbox(key="model").value == "Nine-Blocks"
    if name in ("training", "inference"):
        test.button(key="pin").click().run()
        (held,) = pins.read(test.text_input(key="pins").value)[0]
        assert held["model"] == MODEL
        assert len(test.text_input(key="pins").value) < 600


def test_pins_of_strangers_are_as_little_trusted() -> None:
    good = pins.write([SCENARIO])
    assert pins.read(good) == ([SCENARIO], [])
    for bad in (good.replace('"1', '"2'), good.replace(OWN[5:9], "AAAA")):
        held, dropped = pins.read(bad)
        assert held == []
        assert "Pin 1 was dropped: its model cannot be used" in dropped[0]
    for model in ({"hub": "a/b"}, {"gguf": "a/b:c"}, {"safetensors": "/tmp"}, {"packed": 1}, {"packed": []}):
        assert pins.read(json.dumps([{**SCENARIO, "model": model}]))[0] == []


def test_compare_pins_a_brought_model_like_the_last_pin() -> None:
    first = {**SCENARIO, "model": "gpt2"}
    test = page("compare", opened=True, pins=json.dumps([first]))
    test.text_area(key="bring-text").set_value(json.dumps(CONFIG))
    test.text_input(key="bring-name").set_value("Nine-Blocks")
    press(test, "Take this text")
    held, dropped = pins.read(test.text_input(key="pins").value)
    assert (held, dropped) == ([first, SCENARIO], [])
    assert "Nine-Blocks is pinned" in said(test)
    test.switch_page("pages/views/fit.py").run()
    assert "Nine-Blocks" in test.selectbox(key="model").options


def test_files_name_the_model_and_hold_its_description() -> None:
    run = ledger.run("Training", memcalc.estimate(SCENARIO).as_dict())
    assert "### Training: Nine-Blocks" in export.as_markdown([run])
    assert compare_view.title(1, SCENARIO) == "1 Nine-Blocks, training"
    again = bring.one(bring.read(export.as_json([SCENARIO]).encode()))
    assert again == SCENARIO


@pytest.mark.parametrize("name", ["advise", "sweep"])
def test_advice_and_sweeps_work_with_it(name: str) -> None:
    here = page(name, own=OWN, model="Nine-Blocks", gpu="8 GB card", batch="8")
    assert not here.exception
    assert "no family" not in said(here)
    assert "Choose a card, or say how much" not in said(here)


def test_what_the_controls_mean_is_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls.brought.st, "session_state", {"own": OWN})
    settings = controls.meaning(dict.fromkeys(controls.KEYS) | {"model": "Nine-Blocks"})
    assert settings.training()["model"] == MODEL
    assert settings.model == "Nine-Blocks"
