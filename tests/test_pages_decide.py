"""The pages under "Decide": make it fit, sweep, cards; through Streamlit's own test harness."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc import units
from memcalc.scenario.paths import put
from memcalc.solve import largest
from memcalc.solve.axes import axes
from memcalc.solve.grid import REFUSED, grid
from memcalc.ui import advice_view, decide, map_answer, map_figures, map_view, own_card, reach_view, rest
from memcalc.ui.advice_view import sets_of
from memcalc.ui.map_figures import Limit
from memcalc.ui.state import Settings

ROOT = Path(__file__).parent.parent
SCENARIO: dict[str, Any] = {"model": "gpt2", "task": "train", "hardware": {"gpu": "16GB"}}


def page(name: str, **link: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in link.items():
        test.query_params[key] = value
    return test.switch_page(f"pages/views/{name}.py").run()


def spec(test: AppTest, number: int = 0) -> dict[str, Any]:
    return json.loads(test.get("plotly_chart")[number].proto.spec)


def verdicts(test: AppTest) -> str:
    return " ".join(one.proto.body for one in test.get("html"))


@pytest.mark.parametrize("name", ["advise", "sweep", "cards"])
@pytest.mark.parametrize("task", ["Training", "Inference"])
@pytest.mark.parametrize("model", ["Llama-3.1-8B", "gpt2"])
def test_every_page_draws(name: str, task: str, model: str) -> None:
    test = page(name, model=model, task=task, gpu="24 GB card")
    assert not test.exception
    assert not page(name, model=model, task=task, gpu="No card").exception


def test_apply_all_makes_it_fit() -> None:
    """The verdict above turns, the controls move, and what no control shows is kept in the link."""
    test = page("advise", model="Llama-3.1-8B", gpu="24 GB card")
    assert "needs" in verdicts(test)
    test.button(key="apply-plan-page").click().run()
    assert not test.exception
    assert "Training fits" in verdicts(test)
    shown = test.session_state
    _, best = advice_view.advice(Settings(gpu="24GB").training())
    kept = json.loads(shown["also"])["train"]
    states = {path: decide.control_state("train", path, value) for path, value in sets_of(best.changes).items()}
    assert kept
    assert kept == {path: value for path, value in sets_of(best.changes).items() if states[path] is None}
    assert {one[0]: shown[one[0]] for one in states.values() if one} == dict(one for one in states.values() if one)
    for path in kept:
        test.button(key=f"undo-{path}").click().run()
    assert shown["also"] == ""


def test_one_change_is_applied() -> None:
    """The first of the list: what it sets is then in a control or beside them, and the memory is smaller."""
    link = {"model": "Qwen2.5-0.5B", "gpu": "8 GB card", "batch": "8"}
    test = page("advise", **link)
    before = verdicts(test)
    test.button(key="apply-page-0").click().run()
    assert not test.exception
    assert verdicts(test) != before
    assert test.session_state["also"] or test.session_state["batch"] < 8 or test.session_state["checkpointing"]


def test_free_memory_and_reserve_decide_the_verdict() -> None:
    assert "Training fits" in verdicts(page("advise", model="gpt2", gpu="24 GB card"))
    test = page("advise", model="gpt2", gpu="24 GB card", free="3 GiB", reserve="1 GiB")
    assert "Training needs" in verdicts(test) or "Training is tight" in verdicts(test)
    assert "1.00 GiB are to stay free" in verdicts(test)
    test = page("fit", model="gpt2", gpu="No card", free="what")
    assert any("Write a size" in one.value for one in test.warning)


def test_settings_carry_free_memory_into_the_scenario() -> None:
    found = Settings(gpu=None, free=2**30, reserve=2**20).training()
    assert found["hardware"] == {"free": 2**30, "reserve": 2**20}
    assert own_card.size_of("11.5 GiB") == int(11.5 * 2**30)
    assert own_card.size_of("x") is None
    assert own_card.complaint("x")


def test_hostile_changes_in_a_link_are_dropped() -> None:
    bad = json.dumps({"train": {"__class__": 1, "training.loss": {"a": 1}, "model": "/etc/passwd", "batch": 10**30,
                                "training.loss2": "x", "training.optimizer": "sgd"}, "other": 3})  # fmt: skip
    kept = decide.read(bad)["train"]
    assert set(kept) == {"batch", "training.loss2", "training.optimizer"}
    assert decide.made(SCENARIO, kept) == put(SCENARIO, "training.optimizer", "sgd")
    for text in ("[", "[]", "null", "{" * 5000, '{"train": []}', '{"train": {"batch": NaN}}'):
        assert decide.made(SCENARIO, decide.read(text).get("train", {})) == SCENARIO
    assert not page("advise", also=bad).exception


def test_the_map_holds_the_estimates_and_its_frontier_is_the_cards() -> None:
    known = axes(SCENARIO)
    found = grid(SCENARIO, known["batch"], known["seq_len"], [1, 2, 4, 8], [128, 512, 1024], components=True)
    fit = memcalc.estimate({**SCENARIO, "batch": 4, "seq_len": 512})
    assert found.point[1, 2] == fit.peak["device"]
    assert found.components is not None
    assert sum(int(one[1, 2]) for one in found.components.values()) == fit.peak["device"]
    assert fit.fit is not None
    limit = Limit("16 GB card", fit.fit["capacity"])
    inside = map_figures.fits(found, limit)
    for i, length in enumerate([128, 512, 1024]):
        most = largest({**SCENARIO, "seq_len": length}, "batch").value
        assert inside[i].tolist() == [batch <= most for batch in (1, 2, 4, 8)]
    go.Figure(map_figures.marked(map_figures.heat_map(found, [limit]), (0, 0)))  # Plotly checks every property
    go.Figure(map_figures.curves(found, [limit]))


@pytest.mark.parametrize("kind", map_answer.KINDS)
def test_a_point_of_the_map_says_what_it_needs_of_what_and_on_which_cards(kind: str) -> None:
    """The words are sent once, the figures of each point in their places."""
    known = axes(SCENARIO)
    limits = [Limit("16 GB card", 15 * 2**30), Limit("tiny card", 2**20)]
    figure = map_answer.picture(SCENARIO, known["batch"], known["seq_len"], limits, kind).figure
    fit = memcalc.estimate({**SCENARIO, "batch": 4, "seq_len": 512})
    trace = next(one for one in reversed(figure["data"]) if one.get("name") in (None, "512"))
    values = next(one for one in trace["customdata"] if "4" in one and "512" in one)
    said = re.sub(r"%\{customdata\[(\d+)\]\}", lambda hole: str(values[int(hole[1])]), trace["hovertemplate"])
    lines = said.removesuffix("<extra></extra>").split("<br>")
    assert lines[0] == "<b>sequences in a micro-batch 4, tokens per sequence 512</b>"
    assert lines[1] == f"{units.both(fit.peak['device'])}, at worst {units.binary(fit.range['device'][1])}"
    assert f"activations: {units.binary(fit.at_peak['activations'])}" in lines
    assert lines[-2:] == ["fits the 16 GB card", "does not fit the tiny card"]


def test_a_border_runs_between_what_fits_and_what_does_not() -> None:
    """Two cells beside each other: one upright line between them; two above each other: one level line."""
    assert map_figures.border(np.array([[True, False]])) == ([0.5, 0.5, None], [-0.5, 0.5, None])
    assert map_figures.border(np.array([[True], [False]])) == ([-0.5, 0.5, None], [0.5, 0.5, None])
    assert map_figures.border(np.array([[True, True]])) == ([], [])


@pytest.mark.parametrize("pair", [("batch", "optimizer"), ("precision", "checkpointing"), ("seq_len", "model")])
def test_maps_over_fields_that_are_no_numbers(pair: tuple[str, str]) -> None:
    known = axes(SCENARIO)
    found = grid(SCENARIO, known[pair[0]], known[pair[1]])
    asked = known[pair[1]].set(known[pair[0]].set(SCENARIO, found.xs[1]), found.ys[1])
    assert found.point[1, 1] == memcalc.estimate(asked).peak["device"]


def test_what_is_impossible_on_a_map_is_empty_and_said() -> None:
    known = axes(SCENARIO)
    found = grid(SCENARIO, known["batch"], known["seq_len"])
    beyond = [i for i, length in enumerate(found.ys) if length > 1024]
    assert (found.point[beyond] == REFUSED).all()
    assert (found.point[: beyond[0]] != REFUSED).all()
    assert any("positions" in one for one in found.refusals)


def test_a_click_on_the_map_makes_the_point_the_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr(decide.st, "session_state", state)
    known = axes(SCENARIO)
    found = grid(SCENARIO, known["batch"], known["optimizer"])
    row = found.ys.index("sgd")
    map_view._take("train", found, {"x": 3, "y": row}, True)
    assert (state["batch"], state["optimizer"]) == (found.xs[3], "sgd")


def test_the_current_point_is_found_on_the_map() -> None:
    known = axes(SCENARIO)
    found = grid(SCENARIO, known["batch"], known["seq_len"])
    place = map_answer.place_of({**SCENARIO, "batch": 4, "seq_len": 512}, found)
    assert place == (found.ys.index(512), found.xs.index(4))
    assert map_answer.place_of({**SCENARIO, "batch": 5}, found) is None


def test_the_reach_is_the_solvers() -> None:
    found = reach_view.reach(SCENARIO)
    assert found.largest[0].value == largest(SCENARIO, "batch").value
    assert found.models[0].name == "gpt2-xl"
    assert found.card is not None
    assert found.card.verdict is not None
    assert found.card.verdict.fits
    assert reach_view.counted(found.cards) == "1 is enough"
    go.Figure(reach_view.figure(found.pair, (1, 512)))


def test_the_cards_are_sorted_and_each_verdict_is_the_estimates() -> None:
    from memcalc.ui import cards_view

    found = cards_view.answer(SCENARIO)
    capacities = [one.gpu.capacity for one in found]
    assert capacities == sorted(capacities)
    for one in found[::17]:
        fit = memcalc.estimate({**SCENARIO, "hardware": {"gpu": one.gpu.name}}).fit
        assert fit is not None
        assert one.verdict is not None
        assert one.verdict.state == fit["verdict"]
    assert "cards run this" in cards_view.sentence(found)


def test_the_first_page_shows_the_cheapest_change_and_applies_it() -> None:
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in (("model", "gpt2"), ("gpu", "8 GB card"), ("batch", "64"), ("seq", "1024")):
        test.query_params[name] = value
    test.run()
    assert not test.exception
    test.button(key="apply-plan-train").click().run()
    assert not test.exception
    assert not [one for one in test.button if one.key == "apply-plan-train"]


def test_advice_stays_until_the_settings_have_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the page moves while a slider does: what was said last stays, and waits to be said anew."""
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in (("model", "gpt2"), ("gpu", "8 GB card"), ("batch", "64"), ("seq", "1024")):
        test.query_params[name] = value
    test.run()
    said = [one.value for one in test.markdown if one.value.startswith("Training\\:")]
    assert said
    monkeypatch.setattr(rest, "PAUSE", 60)
    test.select_slider(key="batch").set_value(1).run()
    assert [one.value for one in test.markdown if one.value.startswith("Training\\:")] == said
    assert any(rest.DIM in one.proto.body for one in test.get("html"))


def test_a_page_with_all_settings_takes_them_along() -> None:
    base = Settings(model="gpt2", gpu="8GB").training()
    scenario = put(put(base, "training.loss", "fused"), "training.lora.r", 8)
    also = decide.besides(scenario, base)
    assert also == {"training.loss": "fused", "training.lora.r": 8}
    assert decide.made(base, also) == scenario
    test = page("training", model="Llama-3.1-8B", gpu="8 GB card")
    assert not test.exception
    test.button(key="make-it-fit").click().run()
    assert not test.exception


def test_advice_says_that_its_room_is_counted_at_worst() -> None:
    # The verdict above it counts from the likely size: without the words, two rooms for one set would contradict.
    from memcalc.solve.verdict import Verdict
    from memcalc.ui.advice_markup import after

    assert after(Verdict(2**30, 2**30, 2**31, 3 * 2**30, "fits")).endswith("1.00 GiB to spare at worst")


def test_reasons_that_differ_in_numbers_only_are_one() -> None:
    said = [f"the model has positions for 1,024 tokens, {asked:,} are asked for" for asked in (131072, 2048, 98304)]
    assert map_view.reasons([*said, "batch 7 is odd"]) == ["batch 7 is odd", said[1]]
