"""Pins and files of the pages that show training and inference together."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.ui import keep, ledger, pins, result
from memcalc.ui.state import Settings

PAGES = ("fit", "timeline", "batch")


def page(name: str, **link: str) -> AppTest:
    test = AppTest.from_file("../app.py", default_timeout=60)
    for key, value in link.items():
        test.query_params[key] = value
    return test.switch_page(f"pages/views/{name}.py").run()


def pin(test: AppTest, wish: str) -> AppTest:
    (button,) = [one for one in test.get("menu_button") if one.key == "pin"]
    return button.click(wish).run()


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_shows_can_be_pinned(name: str) -> None:
    test = pin(page(name, model="gpt2", seq="512", batch="2", optimizer="sgd"), keep.BOTH)
    assert not test.exception
    held = json.loads(test.text_input(key="pins").value)
    assert [one["task"] for one in held] == ["train", "infer"]
    assert (held[0]["batch"], held[0]["seq_len"], held[0]["training"]["optimizer"]) == (2, 512, "sgd")
    assert held[1]["inference"]["prompt_tokens"] == 512
    pin(test, keep.TRAINING)  # the same again: it is there already
    assert len(json.loads(test.text_input(key="pins").value)) == 2


def test_where_four_are_pinned_there_is_no_fifth() -> None:
    four = [{"model": "gpt2", "task": "train", "batch": batch} for batch in (1, 2, 4, 8)]
    test = page("fit", pins=pins.write(four))
    (button,) = [one for one in test.get("menu_button") if one.key == "pin"]
    assert button.proto.disabled


def test_pins_are_remembered_and_nobody_can_change_what_another_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readings of a link's text are shared by all visitors."""
    given = [{"model": "gpt2", "task": "train"}]
    monkeypatch.setattr(pins.st, "session_state", {pins.KEY: pins.write(given)})
    held, _ = pins.pinned()
    held[0]["model"] = "another"
    held.append({})
    assert pins.pinned() == (given, [])


@pytest.mark.parametrize("name", PAGES)
def test_each_page_has_its_figure_and_both_scenarios_as_files(name: str) -> None:
    from memcalc.ui import batch_view, timeline_view

    offers = {"fit": result.picture, "timeline": timeline_view.picture, "batch": batch_view.offers}[name]
    settings = Settings(model="gpt2", seq_len=256)
    runs = [
        ledger.run("Training", memcalc.estimate(settings.training()).as_dict()),
        ledger.run("Inference", memcalc.estimate(settings.inference()).as_dict()),
    ]
    made = {label: make() for label, _, _, make in offers(settings, runs)}
    assert 'src="http' not in made["Figure, HTML"]
    if name == "batch":
        head, *rows = made["Lines, CSV"].splitlines()
        assert head.startswith("batch,training bytes")
        assert rows[0].split(",")[1] == str(runs[0].device)


#: The pages that show one scenario, with what they offer besides the estimate and the scenario.
SINGLE = {"training": "Figure, HTML", "inference": "Figure, HTML", "advise": "Changes, CSV", "sweep": "Map, CSV",
          "cards": "Cards, CSV", "run": "Whole run, CSV"}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_every_page_with_a_scenario_pins_it_and_offers_its_files(name: str) -> None:
    test = page(name, model="gpt2", seq="512")
    assert test.button(key="pin").label == "Pin"
    test.button(key="pin").click().run()
    assert not test.exception
    assert "1 of 4" in test.toast[0].value.replace("\\", "")
    (held,) = json.loads(test.text_input(key="pins").value)
    assert held["model"] == "gpt2"
    test.session_state["export"] = True
    test.run()
    assert not test.exception
    labels = {one.proto.label for one in test.get("download_button")}
    wanted = {"Estimate, JSON", "Estimate, CSV", "Estimate, Markdown", "Scenario, JSON", SINGLE[name]}
    assert wanted <= labels


def test_changes_beside_the_controls_are_pinned_too() -> None:
    test = page("advise", model="gpt2", also='{"train":{"training.loss":"fused"}}')
    test.button(key="pin").click().run()
    (held,) = json.loads(test.text_input(key="pins").value)
    assert held["training"]["loss"] == "fused"
