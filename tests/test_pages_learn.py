"""The workshop's page, run without a browser: every lesson over several models and states."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest
from opened import opened
from streamlit import config
from streamlit.testing.v1 import AppTest

from memcalc.learn.case import Own
from memcalc.learn.lessons import LESSONS
from memcalc.learn.network import Address
from memcalc.models import catalogue, packed, portable
from memcalc.ui import glossary, learn_link, learn_page

NUMBERS = range(1, len(LESSONS) + 1)


def page(**query: str) -> AppTest:
    return opened("pages/views/learn.py", **query)


def html(test: AppTest, name: str) -> list[str]:
    """The page's own blocks with a class, without their marks."""
    found = [one.proto.body for one in test.get("html") if f'class="{name}' in one.proto.body]
    return [re.sub("<.*?>", " ", body) for body in found]


def said(test: AppTest, name: str) -> str | None:
    """What the address says of a setting; None where it is left out."""
    value = dict(test.query_params).get(name)
    return value[-1] if isinstance(value, list) else value


def title(test: AppTest) -> str:
    return html(test, "mc-lesson")[0]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_figure_waits_for_an_answer(number: int) -> None:
    test = page(lesson=str(number))
    assert not test.exception
    assert f"{number}. {LESSONS[number - 1].title}" in title(test)
    assert not test.get("plotly_chart")
    assert not html(test, "mc-headline")
    question = LESSONS[number - 1].question(LESSONS[number - 1].usual("Llama-3.1-8B"))
    assert test.radio[0].label == question.text
    wrong = (question.right + 1) % len(question.choices)
    test.radio[0].set_value(wrong).run()
    assert "Not " in html(test, "mc-feedback")[0]
    test.radio[0].set_value(question.right).run()
    assert not test.exception
    assert "Right." in html(test, "mc-feedback")[0]
    (chart,) = test.get("plotly_chart")
    assert len(chart.proto.alt) > 40
    assert html(test, "mc-remember")
    assert html(test, "mc-formula-table")


@pytest.mark.parametrize(
    "model", [{"model": "gpt2"}, {"model": "Mixtral-8x7B"}, {"source": "Any size", "exact": "1.5B"}]
)
@pytest.mark.parametrize("number", NUMBERS)
def test_every_lesson_for_other_models_at_the_ends_of_its_variables(number: int, model: dict) -> None:
    for one in LESSONS[number - 1].variables:
        for value in (one.values[0], one.values[-1]):
            test = page(lesson=str(number), step="figure", move=one.label, **{one.key: one.name(value)}, **model)
            assert not test.exception
            assert (said(test, one.key) or one.name(one.usual)) == one.name(value)
            assert test.get("plotly_chart") or test.warning


@pytest.mark.parametrize("number", NUMBERS)
def test_presenting_shows_one_thing_after_the_other(number: int) -> None:
    test = page(lesson=str(number), present="true")
    assert not test.exception
    assert not test.radio
    assert html(test, "mc-question")
    test.button(key="next").click().run()
    assert test.get("plotly_chart")
    assert not html(test, "mc-remember")
    test.button(key="page-down").click().run()
    assert html(test, "mc-remember")
    assert not test.get("plotly_chart")
    assert said(test, "step") == "remember"
    test.button(key="back").click().run()
    test.button(key="page-up").click().run()
    assert html(test, "mc-question")
    assert title(test).strip().startswith(f"{number}.")


def test_from_lesson_to_lesson_and_answers_stay_in_the_session() -> None:
    test = page(present="true", step="remember")
    test.button(key="next").click().run()
    assert title(test).strip().startswith("2.")
    assert said(test, "step") is None
    test.button(key="end").click().run()
    assert said(test, "present") is None
    test.radio[0].set_value(0).run()
    test.button(key="before").click().run()
    test.button(key="after").click().run()
    assert test.radio[0].value == 0
    assert "answer" not in str(dict(test.query_params))
    assert any("1 of" in one.value for one in test.caption)
    assert not page().radio[0].value  # another visitor knows nothing of it


def test_a_value_keeps_while_the_presenter_says_what_to_remember() -> None:
    test = page(present="true", step="figure", tokens="4096")
    test.button(key="next").click().run()
    test.button(key="back").click().run()
    assert test.select_slider(key="tokens").value == "4096"
    assert said(test, "tokens") == "4096"


def test_a_link_with_mistakes_is_answered_with_a_word() -> None:
    test = page(lesson="77", step="nowhere", colour="red")
    assert not test.exception
    said = " ".join(one.value for one in test.info).replace("\\", "")
    assert "77" in said
    assert "nowhere" in said
    assert "colour" in said
    assert title(test).strip().startswith("1.")


def test_the_map_is_worked_out_when_somebody_looks() -> None:
    test = page(lesson="2", step="figure")
    assert not html(test, "mc-map")


def test_everything_a_link_may_say_is_known() -> None:
    allowed = learn_page.allowed()
    for lesson in LESSONS:
        for one in lesson.variables:
            assert set(allowed[one.key]) == {one.name(value) for value in one.values}
            assert len(set(allowed[one.key])) == len(one.values)
            assert one.usual in one.values


@pytest.mark.parametrize("number", NUMBERS)
def test_the_words_that_a_lesson_needs_are_explained_beside_its_question(number: int) -> None:
    terms = LESSONS[number - 1].terms
    assert len(terms) >= 3
    said = "".join(one.proto.body for one in page(lesson=str(number)).get("html"))
    assert all(glossary.said(glossary.TERMS[term]) in said for term in terms)


CONFIG = {**catalogue.find("Llama-3.2-1B").config, "num_hidden_layers": 9}
OWN = packed.pack(portable.carried({"config": CONFIG, "name": "Nine-Blocks"}))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_brought_model_is_what_the_lesson_is_about(number: int) -> None:
    test = page(lesson=str(number), step="figure", model="Nine-Blocks", own=OWN)
    assert not test.exception
    assert not test.warning
    lesson = LESSONS[number - 1]
    own = Own("Nine-Blocks", portable.carried({"config": CONFIG, "name": "Nine-Blocks"}))
    assert test.radio[0].label == lesson.question(lesson.usual(own)).text
    assert lesson.show(lesson.usual(own)).headline in " ".join(html(test, "mc-headline"))
    assert "Llama" not in " ".join(html(test, "mc-headline") + html(test, "mc-remember"))


def test_the_rooms_link_brings_the_own_model_along() -> None:
    """Two models of one name are told apart by a number, which the one alone in the link does not have."""
    other = packed.pack(portable.carried({"config": {**CONFIG, "num_hidden_layers": 5}, "name": "Nine-Blocks"}))
    test = page(step="figure", model="Nine-Blocks (2)", own=f"{other}.{OWN}", tokens="512")
    assert not test.exception
    nine = html(test, "mc-headline")
    test.session_state["room"] = True
    test.run()
    test.text_input(key="_host").set_value("192.0.2.7:8000").run()
    (shown,) = [one.proto.body for one in test.get("html") if '<figure class="mc-code"' in one.proto.body]
    link = unescape(re.findall("<figcaption>(.*?)</figcaption>", shown)[0])
    said = dict(parse_qsl(urlsplit(link).query))
    assert said == {"step": "figure", "model": "Nine-Blocks", "own": OWN, "tokens": "512"}
    assert "<img" in shown  # short enough for a code
    assert html(page(**said), "mc-headline") == [one.replace("Nine-Blocks (2)", "Nine-Blocks") for one in nine]


def test_a_model_that_only_reads_is_named() -> None:
    config = {"model_type": "bert", "vocab_size": 30522, "hidden_size": 64, "num_hidden_layers": 2,
              "num_attention_heads": 2, "intermediate_size": 128, "max_position_embeddings": 512,
              "type_vocab_size": 2, "architectures": ["BertForMaskedLM"]}  # fmt: skip
    test = page(model="Tiny", own=packed.pack(portable.carried({"config": config, "name": "Tiny"})))
    assert not test.exception
    assert any("Tiny only reads" in one.value for one in test.info)


def room(test: AppTest) -> str:
    """What the button for the room's link shows: the block with the link, its marks included."""
    test.session_state["room"] = True
    test.run()
    assert not test.exception
    return " ".join(one.proto.body for one in test.get("html") if '<figure class="mc-code"' in one.proto.body)


def test_of_several_addresses_the_teacher_chooses_the_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    there = (Address("192.168.1.7", "wlan0"), Address("10.8.0.2", "tun0"))
    monkeypatch.setattr(learn_link, "addresses", lambda: there)
    test = page(lesson="3")
    assert "http://192.168.1.7/learn?lesson=3" in room(test)
    choice = test.selectbox(key="_room-address")
    assert list(choice.options) == ["192.168.1.7 (wlan0)", "10.8.0.2 (tun0)"]
    choice.set_value("10.8.0.2 (tun0)").run()
    assert "http://10.8.0.2/learn?lesson=3" in room(test)
    monkeypatch.setattr(learn_link, "addresses", lambda: there[:1])
    assert "http://192.168.1.7/learn?lesson=3" in room(test)  # the other network is gone
    assert not [one for one in test.selectbox if one.key == "_room-address"]


def test_a_server_for_this_machine_only_shows_no_code_and_says_what_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn_link, "addresses", lambda: (Address("192.168.1.7", "wlan0"),))
    option = config.get_option
    monkeypatch.setattr(config, "get_option", lambda name: "localhost" if name == "server.address" else option(name))
    test = page()
    assert room(test) == ""
    (said,) = [one.value.replace("\\", "") for one in test.warning]
    assert "no other machine can reach it" in said
    assert "python -m memcalc room" in said
