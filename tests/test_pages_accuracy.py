"""The page Accuracy: filters, figures, and the way from a dot to its scenario; the buttons below an answer."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import plotly.graph_objects
import pytest
from opened import opened
from streamlit.testing.v1 import AppTest

from memcalc import accuracy
from memcalc.measured import left_out
from memcalc.ui import accuracy_case, bring, trace_view, training_settings
from memcalc.ui import accuracy_cases as view
from memcalc.ui.accuracy_figures import BOTH, VIEWS, scatter


def page(place: str = "pages/views/accuracy.py", **query: str) -> AppTest:
    return opened(place, **query)


def dots(test: AppTest) -> list[str]:
    (chart,) = test.get("plotly_chart")
    return [name for one in json.loads(chart.proto.spec)["data"] for name in one.get("customdata", [])]


def html(test: AppTest) -> str:
    return unescape(re.sub("<.*?>", " ", " ".join(one.proto.body for one in test.get("html"))))


def test_every_trace_is_a_dot_and_the_figures_are_the_records() -> None:
    test = page()
    assert not test.exception
    assert len(dots(test)) == len(accuracy.record().cases)
    assert f"{len(accuracy.record().cases):,}" in html(test)
    assert accuracy.record().made in " ".join(one.value for one in test.caption)


def test_filters_narrow_by_family_and_setting() -> None:
    test = page(family="llama", setting="optimizer: adafactor")
    names = dots(test)
    expected = [
        one.name
        for one in accuracy.record().cases
        if one.family == "llama" and one.scenario.get("training", {}).get("optimizer") == "adafactor"
    ]
    assert sorted(names) == sorted(expected)
    assert names


def test_filters_that_exclude_each_other_say_so() -> None:
    test = page(family="mpt", setting="optimizer: muon")
    assert "No case has both" in test.info[0].value


def test_measurements_are_grouped_and_lead_to_their_source() -> None:
    case = next(one for one in accuracy.measured() if one.measurement.differs)
    test = page(truth="Measurements", case=case.measurement.id)
    assert len(dots(test)) == len(accuracy.measured())
    said = html(test)
    for group in accuracy.by_group(accuracy.measured()):
        assert group in said
    assert "what differs" in said


def test_published_runs_that_no_scenario_can_say_are_listed_with_the_reason() -> None:
    test = page(truth="Measurements")
    (place,) = (one for one in test.expander if "published training runs" in one.label)
    assert place.label.startswith(str(sum(one.count for one in left_out())))
    said = unescape(re.sub("<.*?>", " ", view.left_out_html()))
    for one in left_out():
        assert one.why in said
        assert one.source in said


def test_a_case_shows_both_answers_and_its_scenario() -> None:
    one = accuracy.record().cases[0]
    test = page(case=one.name)
    assert not test.exception
    assert "Estimate and recorded trace" in html(test)
    assert any("as in the record" in caption.value for caption in test.caption)
    assert json.loads(test.code[0].value) == one.scenario


@pytest.mark.parametrize("link", [{"family": "nobody"}, {"case": "<script>"}, {"truth": "x"}, {"what": "1"}])
def test_a_bad_link_is_said_and_the_page_still_answers(link: dict[str, str]) -> None:
    test = page(**link)
    assert not test.exception
    assert dots(test)
    assert any("Parts of this link" in str(one.proto.title) for one in test.get("alert")) or test.info


@pytest.mark.parametrize("plot", VIEWS)
@pytest.mark.parametrize("truth", [view.TRACES, view.MEASUREMENTS])
def test_the_figures_are_valid(plot: str, truth: str) -> None:
    some = view.cases(truth)
    figure = scatter([one.dot for one in some], plot, "traced", some[0].dot.name)
    plotly.graph_objects.Figure(figure)
    (ring,) = [one for one in figure["data"] if "customdata" not in one]
    assert ring["y"][0] == pytest.approx(some[0].dot.estimated / 2**30 if plot == BOTH else 100 * some[0].dot.error)


def test_a_catalogue_models_case_opens_on_its_page_with_its_settings() -> None:
    case = next(one for one in view.cases(view.MEASUREMENTS) if isinstance(one.scenario["model"], str))
    scenario = view.page_scenario(case)
    assert scenario is not None
    assert scenario["model"] == case.scenario["model"]
    states, _ = bring.states_of({"model": "gpt2", "task": "train", "batch": 8, "seq_len": 512},
                                 training_settings.ALL)  # fmt: skip
    opened = page("pages/views/training.py", **accuracy_case.link(states))
    assert not opened.exception
    assert opened.session_state["batch"] == 8
    assert opened.session_state["model"] == "gpt2"


def test_without_torch_one_quiet_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_view, "available", lambda: False)
    test = page("pages/views/training.py", model="gpt2", seq="256")
    assert any("pip install" in one.value for one in test.caption)
    assert not [one for one in test.button if one.label == "Check by tracing"]


class FakeJob:
    """A job that has ended, or runs until it is stopped."""

    def __init__(self, scenario: Any, beside: Any, _here: Any, done: Any) -> None:
        self.scenario, self.beside, self.done = scenario, beside, done
        self.running, self.answer, self.error, self.phase, self.seconds = True, None, "", "iter1.fwd", 3.0

    def stop(self) -> None:
        self.running, self.error = False, "Stopped."
        self.done()


def test_a_trace_is_started_stopped_and_put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_view, "available", lambda: True)
    monkeypatch.setattr(trace_view, "Job", FakeJob)
    test = page("pages/views/training.py", model="gpt2", seq="256")

    def press(label: str) -> None:
        next(one for one in test.button if one.label == label).click().run()

    press("Check by tracing")
    assert next(one for one in test.button if one.label == "Check by tracing").disabled
    press("Stop")
    assert any("Stopped" in one.value for one in test.warning)
    press("Put the trace away")
    assert not test.warning


def test_only_so_many_traces_at_once_on_one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_view, "available", lambda: True)
    monkeypatch.setattr(trace_view, "Job", FakeJob)
    tests = [page("pages/views/training.py", model="gpt2", seq="256") for _ in range(trace_view.AT_ONCE + 1)]
    try:
        for test in tests:
            next(one for one in test.button if one.label == "Check by tracing").click().run()
        assert "running for others" in tests[-1].warning[0].value
        assert not tests[0].warning
    finally:
        for test in tests:
            for one in test.button:
                if one.label == "Stop":
                    one.click().run()
                    break


def test_the_exact_reserved_is_shown_on_demand() -> None:
    test = page("pages/views/inference.py", model="gpt2", seq="256")
    assert "simulated caching allocator" not in html(test)
    next(one for one in test.button if one.label == "Exact reserved").click().run()
    assert "Tensor by tensor through a simulated caching allocator" in html(test)


def test_what_a_stranger_may_have_traced() -> None:
    assert trace_view.traceable({"model": "gpt2"})
    assert trace_view.traceable({"model": {"config": {"model_type": "gpt2"}}})
    for model in ("os:getcwd", "/etc/passwd.json", {"parameters": 1e9}, {"timm": "resnet50"}, {"factory": "a:b"}):
        assert not trace_view.traceable({"model": model})
