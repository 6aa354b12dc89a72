"""The page Compare and the pins that it lives on."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from opened import opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.ui import compare_page, compare_view, ledger, pins

PAGE = "pages/views/compare.py"
TRAIN = {"model": "gpt2", "task": "train", "seq_len": 256, "hardware": {"gpu": "24GB"}}
INFER = {"model": "gpt2", "task": "infer", "inference": {"prompt_tokens": 256}, "hardware": {"gpu": "24GB"}}


def page(name: str = PAGE, **query: str) -> AppTest:
    """A page, opened with a link."""
    return opened(name, **query)


def text(test: AppTest) -> str:
    return re.sub("<.*?>", " ", " ".join(one.proto.body for one in test.get("html")))


def chart(test: AppTest) -> dict[str, Any]:
    (one,) = test.get("plotly_chart")
    return json.loads(one.proto.spec)


def warnings(test: AppTest) -> str:
    return " ".join(one.value for one in test.warning).replace("\\", "")


def test_nothing_pinned_yet_says_how_it_is_done() -> None:
    test = page()
    assert not test.exception
    assert "Pin" in test.info[0].value
    assert not test.get("plotly_chart")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_pins_from_a_link_are_shown_on_one_axis(count: int) -> None:
    given = [TRAIN, {**TRAIN, "training": {"method": "lora"}}, INFER, {"model": {"parameters": 7e9}}][:count]
    test = page(pins=pins.write(given))
    assert not test.exception
    assert not test.warning
    assert all(len(one["x"]) == count for one in chart(test)["data"])
    assert [one.key for one in test.button] == [f"unpin-{place}" for place in range(count)]


def test_what_is_pinned_on_a_page_is_found_on_compare() -> None:
    test = page("pages/views/training.py", model="gpt2", seq="256")
    test.button(key="pin").click().run()
    test.button(key="pin").click().run()  # once is enough
    assert len(json.loads(test.text_input(key="pins").value)) == 1
    test.toggle(key="checkpointing").set_value(True).run()
    test.button(key="pin").click().run()
    test.switch_page(PAGE).run()
    assert len(chart(test)["data"][0]["x"]) == 2
    said = text(test)
    assert re.search(r"checkpointing\s+none\s+full", said)
    assert "optimizer_options" not in said
    test.button(key="unpin-0").click().run()
    assert len(chart(test)["data"][0]["x"]) == 1
    test.button(key="unpin-0").click().run()
    assert not test.get("plotly_chart")


def test_a_fifth_pin_is_not_offered() -> None:
    held = pins.write([{**TRAIN, "batch": batch} for batch in (1, 2, 4, 8)])
    test = page("pages/views/inference.py", pins=held)
    assert test.button(key="pin").disabled
    assert "Unpin one" in test.button(key="pin").proto.help


BAD = [
    "{",
    "null",
    '"x"',
    "[1]",
    "[NaN]",
    "[" * 5000,
    json.dumps([{**TRAIN, "model": "/etc/passwd"}]),
    json.dumps([{**TRAIN, "model": "../config.json"}]),
    json.dumps([{**TRAIN, "model": {"gguf": "/tmp/x.gguf"}}]),
    json.dumps([{**TRAIN, "model": {"safetensors": "/tmp/x"}}]),
    json.dumps([{**TRAIN, "model": {"hub": "some/model"}}]),
    json.dumps([{**TRAIN, "model": {"parameters": "7e9"}}]),
    json.dumps([{**TRAIN, "model": {"parameters": 1e300}}]),
    json.dumps([{**TRAIN, "model": {"parameters": True}}]),
    json.dumps([{**TRAIN, "batch": -1}]),
    json.dumps([{**TRAIN, "batch": 10**400}]),
    json.dumps([{**TRAIN, "telepathy": 1}]),
    json.dumps([{**TRAIN, "hardware": {"gpu": "<script>alert(1)</script>"}}]),
    json.dumps([{"model": ["gpt2"]}]),
    '[{"model":"gpt2","batch":' + "9" * 5000 + "}]",
    "x" * 10_000,
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_pins_are_dropped_with_a_word(bad: str) -> None:
    test = page(pins=bad)
    assert not test.exception
    assert warnings(test)
    assert not test.get("plotly_chart")


def test_a_bad_pin_leaves_the_good_ones() -> None:
    test = page(pins=json.dumps([TRAIN, {"model": "/etc/passwd"}, INFER]))
    assert "Pin 2 was dropped" in warnings(test)
    assert len(chart(test)["data"][0]["x"]) == 2


def test_more_than_four_are_cut() -> None:
    test = page(pins=json.dumps([{**TRAIN, "batch": batch} for batch in (1, 2, 3, 4, 5)]))
    assert "only 4 fit" in warnings(test)
    assert len(chart(test)["data"][0]["x"]) == 4


def test_other_parts_of_the_link_are_named() -> None:
    test = page(pins=pins.write([TRAIN]), colour="red")
    assert "colour" in " ".join(one.value for one in test.info)


def test_differences_name_what_differs_and_nothing_else() -> None:
    scenarios = [TRAIN, {**TRAIN, "batch": 4, "training": {"method": "lora", "lora": {"r": 64}}}]
    runs = [ledger.run(str(place), memcalc.estimate(one).as_dict()) for place, one in enumerate(scenarios)]
    rows = dict(compare_view.differences(runs))
    assert rows["sequences at once"] == ["1", "4"]
    assert rows["LoRA rank"] == ["–", "64"]
    assert "precision" not in rows


def test_a_table_escapes_what_it_shows() -> None:
    assert "<b>x" not in compare_view.table([("<b>x", ["<i>"])], "<s>").replace("<b>&lt;s&gt;", "")


def test_different_cards_draw_no_line() -> None:
    test = page(pins=pins.write([TRAIN, {**TRAIN, "hardware": {"gpu": "80GB"}}]))
    assert chart(test)["layout"]["shapes"] == []


def test_one_visitor_never_sees_another() -> None:
    one = page("pages/views/training.py", model="gpt2", seq="256")
    one.button(key="pin").click().run()
    other = page()
    assert not other.get("plotly_chart")


@pytest.mark.parametrize("number", range(len(compare_page.EXAMPLES)))
def test_an_empty_page_offers_examples_that_can_be_answered(number: int) -> None:
    test = page()
    test.button(key=f"example-{number}").click().run()
    assert not test.exception
    assert not test.warning
    wanted = list(compare_page.EXAMPLES.values())[number]
    assert json.loads(test.text_input(key="pins").value) == list(wanted)
    assert len(next(one["x"] for one in chart(test)["data"] if one["type"] == "bar")) == len(wanted)


def test_the_example_of_three_methods_shrinks() -> None:
    """8.03e9 weights in bf16 with AdamW last 59.8 GiB; frozen in bf16 15.0 GiB; frozen in 4 bits about 5 GiB."""
    test = page()
    test.button(key="example-0").click().run()
    totals = [sum(one) for one in zip(*(t["x"] for t in chart(test)["data"] if t["type"] == "bar"), strict=True)]
    assert totals[0] > 59.8 > 30 > totals[1] > 15.0 > totals[2] > 4.5
