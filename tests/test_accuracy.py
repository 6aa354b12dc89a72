"""What the page Accuracy and the README say about memcalc is what today's code gives, and is as good as promised."""

from __future__ import annotations

import statistics

import pytest

from memcalc.accuracy import by_group, measured, record, settings_of, summary
from tests import accuracy

STALE = "run: python tests/accuracy.py --write"
FEW = 5
"""Cases: the middle of fewer says nothing; the page and the README show them all the same."""
EVERY = 8
"""A sample: every case is estimated in test_traces.py already."""


def test_the_record_has_every_trace_and_no_other() -> None:
    there = {case["name"]: case for case, _ in accuracy.recorded()}
    held = {one.name: one for one in record().cases}
    assert there.keys() == held.keys(), STALE
    for name, one in held.items():
        assert (one.scenario, one.traced) == (there[name]["scenario"], there[name]["expect"]["tensors"]), STALE


def test_the_record_is_what_todays_code_gives() -> None:
    held = {one.name: one for one in record().cases}
    for case, independent in accuracy.recorded()[::EVERY]:
        now = accuracy.compared(case, independent)
        assert held[now.name].estimated == now.estimated, f"{now.name}; {STALE}"


def test_the_readme_has_the_table_of_the_record() -> None:
    text = accuracy.README.read_text("utf-8")
    assert accuracy.in_readme(text, accuracy.tables(record().cases, measured())) == text, STALE


def test_the_promise_about_traces() -> None:
    """Median at most half a percent, nineteen of twenty within two, none above five; hundreds of cases."""
    found = summary(one.error for one in record().cases)
    assert found.count >= 1400
    assert (found.median <= 0.005, found.most <= 0.02, found.worst <= 0.05) == (True, True, True)


def test_the_promise_about_measurements_of_the_code_that_is_meant() -> None:
    """Median error at most 3 % (of FEW cases or more), nine of ten within the stated range."""
    for name, group in by_group(measured()).items():
        if not name.endswith("differs"):
            if len(group) >= FEW:
                assert summary(one.error for one in group).median <= 0.03, name
            assert sum(one.held for one in group) >= 0.9 * len(group), name


def test_a_summary_by_hand() -> None:
    found = summary([0.01 * n for n in range(-20, 0)])
    assert (found.count, found.worst) == (20, pytest.approx(0.2))
    assert found.median == pytest.approx(statistics.mean([0.10, 0.11]))
    assert found.most == pytest.approx(0.19)  # nineteen of twenty are at most that


def test_settings_are_told_apart() -> None:
    said = settings_of({"task": "train", "model": "gpt2", "training": {"optimizer": "lion", "grad_accumulation": 4}})
    assert (said["optimizer"], said["accumulation"], said["precision"]) == ("lion", "yes", "bf16")
    assert "optimizer" not in settings_of({"task": "infer", "model": "gpt2"})
