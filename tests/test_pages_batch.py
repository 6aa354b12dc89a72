"""The batch page, through Streamlit's own test harness, and its figures by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.ui import batch_view
from memcalc.ui.batch_view import Line
from memcalc.ui.state import Settings

ROOT = Path(__file__).parent.parent


def page(**link: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=20)
    for name, value in link.items():
        test.query_params[name] = value
    return test.switch_page("pages/views/batch.py").run()


def spec(test: AppTest) -> dict[str, Any]:
    return json.loads(test.get("plotly_chart")[0].proto.spec)


def test_slope_and_fixed_part_of_a_straight_line() -> None:
    """10 bytes, and 3 for each sequence."""
    straight = [10 + 3 * batch for batch in range(1, 65)]
    one = Line("Training", straight, straight, straight)
    assert (one.slope, one.fixed) == (3, 10)
    assert [one.largest(limit) for limit in (12, 13, 16, 10_000)] == [0, 1, 2, 64]


def test_points_are_the_cores_estimates() -> None:
    found, refused = batch_view.lines(Settings(model="gpt2", seq_len=256, longest=1024), range(1, 65))
    assert not refused
    for one, scenario in zip(found, (Settings(model="gpt2", seq_len=256).training(),), strict=False):
        assert one.point[7] == memcalc.estimate(scenario | {"batch": 8}).peak["device"]
    go.Figure(batch_view.figure(found, ("a card", 2**34)))  # Plotly checks every property


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B", "Qwen3-0.6B"])
@pytest.mark.parametrize("gpu", ["16 GB card", "80 GB card", "No card"])
def test_the_page_draws_both_lines(model: str, gpu: str) -> None:
    test = page(model=model, gpu=gpu, seq="512")
    assert not test.exception
    named = [one.get("name") for one in spec(test)["data"]]
    assert {"Training", "Inference"} <= set(named)
    assert bool(spec(test)["layout"]["shapes"]) == (gpu != "No card")


def test_training_costs_more_for_each_sequence_than_inference() -> None:
    found, _ = batch_view.lines(Settings(), range(1, 65))
    training, inference = found
    assert training.slope > inference.slope > 0
    assert "Not even one" in batch_view.sentence(training, ("a card", 2**30))
