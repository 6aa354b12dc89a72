"""The commands fit, advise, sweep and compare: tables by default, JSON if asked, refusals as JSON."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import memcalc
from memcalc.__main__ import main
from memcalc.solve import largest
from memcalc.units import parse_bytes

SCENARIO: dict[str, Any] = {"model": "Qwen2.5-0.5B", "task": "train", "batch": 8, "hardware": {"gpu": "16GB"}}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(SCENARIO), encoding="utf-8")
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(arguments) == status
    return capsys.readouterr().out


def test_fit_says_the_verdict_and_the_edges(capsys: pytest.CaptureFixture[str], file: str) -> None:
    text = printed(capsys, "fit", file)
    assert text.startswith("does not fit: needs")
    batch = largest(SCENARIO, "batch").value
    assert any(line.startswith("sequences in a micro-batch") and f"{batch:,}" in line for line in text.splitlines())
    assert "smallest card: " in text
    answer = json.loads(printed(capsys, "fit", file, "--json"))
    assert {one["field"]: one["value"] for one in answer["largest"]}["batch"] == batch
    assert answer["range"] == memcalc.estimate(SCENARIO).range["device"]


def test_fit_judges_what_is_free(capsys: pytest.CaptureFixture[str], file: str, tmp_path: Path) -> None:
    answer = json.loads(
        printed(capsys, "fit", file, "--free", "40GiB", "--reserve", "1GiB", "--field", "batch", "--json")
    )
    assert answer["limit"] == 39 * 2**30
    smi = tmp_path / "smi.txt"
    smi.write_text("name, memory.total [MiB], memory.free [MiB]\nNVIDIA L4, 23034 MiB, 22000 MiB\n", encoding="utf-8")
    answer = json.loads(printed(capsys, "fit", file, "--smi", str(smi), "--field", "batch", "--json"))
    assert answer["limit"] == 22000 * 2**20


def test_fit_lists_cards_and_frontiers(capsys: pytest.CaptureFixture[str], file: str) -> None:
    listed = json.loads(printed(capsys, "fit", file, "--cards", "--json"))
    capacities = [one["capacity"] for one in listed]
    assert capacities == sorted(capacities)
    assert {"fits", "does not fit"} <= {one["verdict"] for one in listed}
    pair = json.loads(printed(capsys, "fit", file, "--pair", "batch", "seq_len", "--json"))
    assert pair["points"][0] == [1, largest({**SCENARIO, "batch": 1}, "seq_len").value]


def test_advise_ranks_and_plans(capsys: pytest.CaptureFixture[str], file: str) -> None:
    text = printed(capsys, "advise", file)
    assert "The cheapest set that fits" in text
    answer = json.loads(printed(capsys, "advise", file, "--json"))
    assert answer["plan"]["fits"] is True
    fit = memcalc.estimate(answer["plan"]["scenario"]).fit
    assert fit is not None
    assert fit["verdict"] == "fits"
    assert all(one["cost"]["words"] for one in answer["changes"])


def test_sweep_over_any_two_fields(capsys: pytest.CaptureFixture[str], file: str) -> None:
    answer = json.loads(printed(capsys, "sweep", file, "--x", "batch", "--y", "optimizer", "--xs", "1,8", "--json"))
    row = answer["y"]["values"].index("sgd")
    asked = {**SCENARIO, "training": {"optimizer": "sgd"}}
    assert answer["device"][row][1] == memcalc.estimate(asked).peak["device"]
    assert "✓" in printed(capsys, "sweep", file, "--xs", "1,2")


def test_compare_shows_what_differs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([SCENARIO, {**SCENARIO, "batch": 2}]), encoding="utf-8")
    assert "batch" in printed(capsys, "compare", str(path))
    answer = json.loads(printed(capsys, "compare", str(path), "--json"))
    assert answer["differences"] == {"batch": [8, 2]}


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "{file}", "--field", "seq"),
        ("fit", "{file}", "--free", "much"),
        ("fit", "{file}", "--smi", "/nowhere"),
        ("sweep", "{file}", "--x", "colour"),
        ("sweep", "{file}", "--x", "precision", "--xs", "fp7"),
        ("compare", "{file}"),
        ("advise", "/nowhere"),
    ],
)
def test_what_cannot_be_understood_is_refused_as_json(
    capsys: pytest.CaptureFixture[str], file: str, arguments: tuple[str, ...]
) -> None:
    text = printed(capsys, *(one.format(file=file) for one in arguments), status=2)
    assert json.loads(text)["error"]["message"]


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(SCENARIO)))
    assert "saves" in printed(capsys, "advise", "-")


def test_sizes_as_people_write_them() -> None:
    assert parse_bytes("1.5 GiB") == 1536 * 2**20
    assert parse_bytes("12GB") == 12 * 10**9
    assert parse_bytes("2,5") == 5 * 2**29
    for wrong in ("", "x", "-1", "1 XB", "9999 TiB", "1e9", "nan"):
        with pytest.raises(ValueError, match=r"size|PiB"):
            parse_bytes(wrong)


@pytest.mark.parametrize("command", ["estimate", "advise", "models"])
def test_a_reader_that_stops_early_sees_no_traceback(command: str, file: str) -> None:
    words = [sys.executable, "-m", "memcalc", command, *([] if command == "models" else [file])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()  # as ``| head -0``: every write fails
        assert run.stderr.read() == ""
        assert run.wait(timeout=60) == 0
