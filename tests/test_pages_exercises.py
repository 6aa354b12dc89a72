"""The exercises' page, run without a browser: every exercise of every level, answers good and bad, links."""

from __future__ import annotations

import re

import pytest
from opened import opened
from streamlit.testing.v1 import AppTest

from memcalc.learn.exercises import EXERCISES, LEVELS, Exercise, of, practising
from memcalc.learn.exercises.answers import shown
from memcalc.learn.lessons import LESSONS
from memcalc.ui import exercises_page, exercises_state

SLOW = 60
PLACES = [(level, at, one) for level in LEVELS for at, one in enumerate(of(level), 1)]
IDS = [one.slug for _, _, one in PLACES]


def page(**query: str) -> AppTest:
    return opened("pages/views/exercises.py", **query)


def html(test: AppTest, name: str) -> str:
    """The page's own blocks with a class, without their marks."""
    found = [one.proto.body for one in test.get("html") if f'class="{name}' in one.proto.body]
    return " ".join(re.sub("<.*?>", " ", body) for body in found)


def said(test: AppTest, name: str) -> str | None:
    value = dict(test.query_params).get(name)
    return value[-1] if isinstance(value, list) else value


def reply(test: AppTest, answer: object) -> AppTest:
    """Write an answer, or choose one, and check it."""
    field = test.radio if test.radio else test.text_input
    field[0].set_value(answer)
    return test.button(key="exercise-check").click().run()


@pytest.mark.parametrize(("level", "at", "exercise"), PLACES, ids=IDS)
def test_the_solution_waits_for_an_answer(level: str, at: int, exercise: Exercise) -> None:
    test = page(level=level, exercise=str(at), seed="5")
    task = exercise.task(5)
    assert not test.exception
    assert task.text in html(test, "mc-lesson").replace("&#x27;", "'")
    assert not html(test, "mc-solution")
    assert not [one for one in test.button if one.key in ("exercise-solve", "exercise-open")]
    if task.asked.kind == "choice":
        reply(test, (int(task.answer) + 1) % len(task.asked.choices))
    else:
        reply(test, f"{task.answer * 40:.0f} {'bytes' if task.asked.kind == 'size' else ''}")
    assert not test.exception
    assert re.search("Not|Far", html(test, "mc-feedback"))
    assert not html(test, "mc-solution")
    right = task.answer if task.asked.kind == "choice" else shown(task.asked, task.answer).split(" (")[0]
    reply(test, right)
    assert not test.exception
    assert "Right" in html(test, "mc-feedback")
    for step in task.steps:
        assert step.value in html(test, "mc-solution")
    assert task.learned in html(test, "mc-solution")
    assert test.button(key="exercise-open").label == task.link.label


@pytest.mark.parametrize("level", LEVELS)
def test_nonsense_is_said_beside_the_field_and_stays_in_it(level: str) -> None:
    test = page(level=level, exercise="1")
    reply(test, "fourteen <b>GiB</b>")
    assert not test.exception
    assert "Write a number" in html(test, "mc-feedback mc-bad")
    assert test.text_input[0].value == "fourteen <b>GiB</b>"
    assert not html(test, "mc-solution")
    assert not [one for one in test.button if one.key == "exercise-solve"]  # nothing was tried yet


def test_checking_without_a_choice_is_answered() -> None:
    test = page(level="starter", exercise="6")
    test.button(key="exercise-check").click().run()
    assert "Choose one" in html(test, "mc-feedback mc-bad")


def test_a_size_is_read_in_any_unit_and_gb_for_gib_is_named() -> None:
    """At seed 5 the first exercise is Llama-3.1-8B in fp32: 8,030,261,248 × 4 B = 32.1 GB = 29.9 GiB."""
    for text in ("29.9 GiB", "29.9", "32.1 GB", "32.1e9 bytes", "32,121,044,992 B"):
        test = reply(page(seed="5"), text)
        assert "Right" in html(test, "mc-feedback"), text
        assert "29.9 GiB (32.1 GB)" in html(test, "mc-feedback")
    assert "billions of bytes (GB) written as GiB" in html(reply(page(seed="5"), "32.1 GiB"), "mc-feedback")


def test_the_solution_is_shown_when_somebody_gives_up() -> None:
    test = reply(page(), "3 MiB")
    test.button(key="exercise-solve").click().run()
    assert html(test, "mc-solution")
    assert "0 of 6 right" in html(test, "mc-progress")
    assert "not right yet" in html(test, "mc-progress")


def test_answers_stay_in_the_session_and_out_of_the_address() -> None:
    test = reply(page(seed="5"), "29.9 GiB")
    assert "1 of 6 right" in html(test, "mc-progress")
    test.button(key="exercise-after").click().run()
    assert said(test, "exercise") == "2"
    test.button(key="exercise-before").click().run()
    assert test.text_input[0].value == "29.9 GiB"
    assert html(test, "mc-solution")
    assert "29.9" not in str(dict(test.query_params))
    assert "0 of 6 right" in html(page(seed="5"), "mc-progress")  # another visitor knows nothing of it


def test_another_one_has_other_numbers_and_says_so_in_the_address() -> None:
    test = page(level="practitioner", exercise="1", seed="5")
    before = html(test, "mc-lesson")
    test.button(key="exercise-again").click().run()
    assert html(test, "mc-lesson") != before
    seed = said(test, "seed")
    assert seed not in (None, "5")
    assert html(page(level="practitioner", exercise="1", seed=str(seed)), "mc-lesson") == html(test, "mc-lesson")


def test_another_level_begins_at_its_first_exercise() -> None:
    test = page(level="practitioner", exercise="8")
    assert html(test, "mc-lesson").strip().startswith("8.")
    test.segmented_control[0].set_value("engineer").run()
    assert not test.exception
    assert html(test, "mc-lesson").strip().startswith(f"1. {of('engineer')[0].title}")


@pytest.mark.parametrize(
    "query", [{"level": "expert"}, {"exercise": "99"}, {"seed": "0"}, {"seed": "many"}, {"colour": "red"}]
)
def test_a_link_with_mistakes_is_answered_with_a_word(query: dict[str, str]) -> None:
    test = page(**query)
    assert not test.exception
    words = " ".join(one.value for one in test.info).replace("\\", "")
    assert next(iter(query if "colour" in query else query.values())) in words
    assert html(test, "mc-lesson").strip().startswith("1.")


def test_an_exercise_that_the_level_does_not_have_is_the_first() -> None:
    test = page(level="starter", exercise=str(exercises_state.MOST))
    assert not test.exception
    assert html(test, "mc-lesson").strip().startswith("1.")


def test_everything_a_link_may_say_is_known() -> None:
    allowed = exercises_page.allowed()
    assert set(allowed["level"]) == set(LEVELS)
    assert {"1", "9999"} <= set(allowed["seed"])
    assert "0" not in allowed["seed"]


def test_every_lesson_leads_to_its_exercises() -> None:
    found = [one for number in range(1, len(LESSONS) + 1) for _, _, one in practising(number)]
    assert sorted(one.slug for one in found) == sorted(one.slug for one in EXERCISES)
    test = AppTest.from_file("../app.py", default_timeout=SLOW)
    test.switch_page("pages/views/learn.py")
    test.query_params["lesson"] = "7"
    test.run()
    assert not test.exception
    level, at, one = practising(7)[0]
    test.button(key=f"practice-{one.slug}").click().run()
    assert not test.exception
    assert html(test, "mc-lesson").strip().startswith(f"{at}. {one.title}")
    assert said(test, "level") == level


@pytest.mark.parametrize(("level", "at"), [("starter", 1), ("starter", 6), ("practitioner", 6), ("engineer", 1)])
def test_the_scenario_opens_in_the_dashboard_and_its_lesson_in_the_workshop(level: str, at: int) -> None:
    exercise = of(level)[at - 1]  # type: ignore[arg-type]
    task = exercise.task(1)
    test = page(level=level, exercise=str(at))
    reply(test, task.answer if task.asked.kind == "choice" else shown(task.asked, task.answer).split(" (")[0])
    test.button(key="exercise-open").click().run()
    assert not test.exception
    assert not html(test, "mc-progress")
    for name in ("model", "seq"):
        assert said(test, name) in (task.link.settings[name], None)
    assert not [one.value for one in test.info if "ignored" in one.value]
    again = page(level=level, exercise=str(at))
    again.button(key="exercise-lesson").click().run()
    assert html(again, "mc-lesson").strip().startswith(f"{exercise.lesson}.")
