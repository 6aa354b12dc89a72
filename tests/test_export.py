"""Taking an answer along."""

from __future__ import annotations

import csv
import io
import json

import pytest

import memcalc
from memcalc import units
from memcalc.ui import export, figures, ledger

SCENARIO = {"model": "gpt2", "task": "train", "precision": "bf16", "seq_len": 256, "hardware": {"gpu": "24GB"}}


@pytest.fixture(scope="module")
def run() -> ledger.Run:
    return ledger.run("Training", memcalc.estimate(SCENARIO).as_dict())


def test_the_json_is_the_contracts_and_can_be_asked_again(run: ledger.Run) -> None:
    estimate = json.loads(export.as_json([run.estimate]))
    assert estimate == json.loads(json.dumps(run.estimate))
    again = memcalc.estimate({key: value for key, value in estimate["scenario"].items() if value is not None})
    assert again.peak == estimate["peak"]


def test_several_estimates_are_a_list(run: ledger.Run) -> None:
    assert len(json.loads(export.as_json([run.estimate, run.estimate]))) == 2


def test_the_csv_adds_up_to_each_phase(run: ledger.Run) -> None:
    rows = list(csv.DictReader(io.StringIO(export.as_csv([run]))))
    for bar in run.bars:
        assert sum(int(row["bytes"]) for row in rows if row["phase"] == bar.phase) == bar.total
    assert float(rows[0]["GiB"]) == pytest.approx(int(rows[0]["bytes"]) / 2**30, abs=1e-4)


def test_the_markdown_is_a_table_with_three_digits(run: ledger.Run) -> None:
    text = export.as_markdown([run])
    assert "| weights | 237 MiB | 237 MiB | 237 MiB | 124,439,808 parameters × 2 B |" in text
    assert "**fits**" in text
    assert json.loads(text.split("```json")[1].split("```")[0])["model"] == "gpt2"


def test_text_from_outside_is_inert_in_the_markdown(run: ledger.Run) -> None:
    loud = {**run.estimate, "assumptions": ["<script>x</script> [a](b) | c"]}
    text = export.as_markdown([ledger.run("Training", loud)])
    assert "\\<script\\>" in text
    assert "\\[a\\](b) \\| c" in text


def test_the_figure_stands_alone(run: ledger.Run) -> None:
    page = export.as_html(figures.phase_bars([run], "card", 24 * units.GiB), "name", "in words <i>")
    assert 'src="http' not in page  # the drawing code is inside
    assert len(page) > 1_000_000
    assert "in words &lt;i&gt;" in page


def test_the_camera_is_the_charts_only_button() -> None:
    config = export.camera("name")
    assert config["modeBarButtons"] == [["toImage"]]
    assert config["toImageButtonOptions"]["filename"] == "name"


def test_a_table_goes_along_as_csv() -> None:
    rows = [{"card": 'a "quoted", one', "bytes": 3}, {"card": "b", "bytes": 4}]
    assert list(csv.DictReader(io.StringIO(export.rows_csv(rows)))) == [
        {"card": 'a "quoted", one', "bytes": "3"},
        {"card": "b", "bytes": "4"},
    ]
    assert export.rows_csv([]) == ""
