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
from memcalc.ui.batch_view import Over
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
    one = Over("Training", straight, straight, straight)
    assert (one.line.slope, one.line.fixed) == (3, 10)
    assert [one.largest(limit) for limit in (12, 13, 16, 10_000)] == [0, 1, 2, 64]


@pytest.mark.parametrize(("model", "longest"), [("gpt2", 1024), ("gemma-2-9b", None), ("Llama-3.1-8B", None)])
@pytest.mark.parametrize("length", [256, 2048])
def test_points_are_the_cores_estimates(model: str, longest: int | None, length: int) -> None:
    """Whether all lengths were worked out together, as for most models, or this one alone, as for Gemma's windows."""
    settings = Settings(model=model, seq_len=length, longest=longest)
    found, refused = batch_view.lines(settings, range(1, 65))
    assert not refused
    for one, scenario in zip(found, (settings.training(), settings.inference()), strict=True):
        estimate = memcalc.estimate(scenario | {"batch": 8})
        assert one.point[7] == estimate.peak["device"]
        assert [one.low[7], one.high[7]] == estimate.range["device"]
    go.Figure(batch_view.figure(found, ("a card", 2**34)))  # Plotly checks every property


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B", "Qwen3-0.6B"])
@pytest.mark.parametrize("gpu", ["16 GB card", "80 GB card", "No card"])
def test_the_page_draws_both_lines(model: str, gpu: str) -> None:
    test = page(model=model, gpu=gpu, seq="512")
    assert not test.exception
    named = [one.get("name") for one in spec(test)["data"]]
    assert {"Training", "Inference"} <= set(named)
    drawn = spec(test)["layout"]
    named = any("above this chart" in note["text"] for note in drawn["annotations"])
    assert (bool(drawn["shapes"]) or named) == (gpu != "No card")


def test_both_lines_and_the_card_are_seen_where_training_is_far_above_it() -> None:
    """Llama-3.1-8B needs five 16 GB cards for one sequence: the chart must be high enough to show where it begins."""
    drawn = spec(page(gpu="16 GB card"))
    top = drawn["layout"]["yaxis"]["range"][1]
    lines = {one["name"]: one["y"] for one in drawn["data"]}
    assert lines["Training"][1] < top
    assert lines["Inference"][-1] < top
    assert 0 < drawn["layout"]["shapes"][0]["y0"] < top


def test_a_floor_that_does_not_grow_is_said_and_the_line_begins_after_it() -> None:
    """100 bytes of an optimizer step up to batch 4, then 60 bytes and 10 for each sequence: 110 at batch 5."""
    sizes = [max(100, 60 + 10 * batch) for batch in range(1, 65)]
    one = Over("Training", sizes, sizes, sizes)
    assert (one.line.fixed, one.line.slope, one.line.straight_from) == (60, 10, 4)
    assert "from batch 4 on 60 B and 10 B for each sequence" in batch_view.sentence(one, None)


def test_training_costs_more_for_each_sequence_than_inference() -> None:
    found, _ = batch_view.lines(Settings(), range(1, 65))
    training, inference = found
    assert training.line.slope > inference.line.slope > 0
    assert "Not even one" in batch_view.sentence(training, ("a card", 2**30))
