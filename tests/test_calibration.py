"""The file of measured figures: what is believed, kept and forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import memcalc
from memcalc.errors import HardwareError
from memcalc.hardware import LiveGpu, LiveGpus, calibration
from memcalc.hardware.calibration import Calibration, checked, load, remove, save
from memcalc.hardware.machine import Machine

MIB = 2**20
ONE = Calibration(
    uuid="GPU-1", name="NVIDIA H100", driver="580.95.05", torch="2.13.0", cuda="13.0", when="2026-11-25", tool="0.1.0",
    context_bare=300 * MIB, context=430 * MIB, workspace_first=32 * MIB, workspace_second=32 * MIB,
    small_segment=2 * MIB, large_segment=20 * MIB, by_process=True,
)  # fmt: skip
GPU = LiveGpu(0, "0", "GPU-1", "NVIDIA H100", 80 * 2**30, 0, 79 * 2**30, 2**30, (9, 0))


def test_kept_replaced_and_forgotten(tmp_path: Path) -> None:
    other = replace(ONE, uuid="GPU-2")
    save(ONE, tmp_path)
    save(other, tmp_path)
    save(replace(ONE, context=500 * MIB), tmp_path)
    assert {one.uuid: one.context // MIB for one in load(tmp_path).calibrations} == {"GPU-1": 500, "GPU-2": 430}
    assert remove("GPU-1", tmp_path)
    assert not remove("GPU-1", tmp_path)
    assert load(tmp_path).calibrations == (other,)
    assert [one.name for one in tmp_path.iterdir()] == ["calibration.json"]  # nothing half-written is left


def test_where_nothing_was_measured(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == calibration.Kept()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 2, "calibrations": []}', '{"version": 1}', "[" * 100_000, "\x00\xff"]
)
def test_a_file_that_is_something_else_gives_a_note_and_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_bytes(text.encode("latin-1"))
    kept = load(tmp_path)
    assert kept.calibrations == ()
    assert "catalogue's are used" in kept.note


@pytest.mark.parametrize(
    "wrong",
    [
        {"context": 0}, {"context": 2**50}, {"context": "430"}, {"context": True}, {"context": 4.5e8}, {"uuid": ""},
        {"uuid": None}, {"name": "x" * 500}, {"name": "a\nb"}, {"by_process": "yes"}, {"context_bare": 500 * MIB},
        {"large_segment": -1},
    ],
)  # fmt: skip
def test_a_figure_that_cannot_be_is_not_believed(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(HardwareError):
        checked(ONE.as_json() | wrong)
    entries = [ONE.as_json() | wrong, ONE.as_json() | {"uuid": "GPU-2"}]
    (tmp_path / "calibration.json").write_text(json.dumps({"version": 1, "calibrations": entries}), encoding="utf-8")
    kept = load(tmp_path)
    assert [one.uuid for one in kept.calibrations] == ["GPU-2"]  # the others of the file still count
    assert "not believed" in kept.note


def test_the_folder_is_the_systems_or_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(calibration.FOLDER, str(tmp_path))
    assert calibration.folder() == tmp_path
    monkeypatch.delenv(calibration.FOLDER)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert calibration.folder() == tmp_path / "xdg" / "memcalc"


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HardwareError, match="cannot be kept"):
        save(ONE, tmp_path / "file" / "below")


def test_it_holds_for_one_device_under_one_driver() -> None:
    reading = LiveGpus("580.95.05", (GPU,), "")
    assert Machine(reading, (ONE,)).calibration(GPU) == ONE
    assert Machine(replace(reading, driver="590.10"), (ONE,)).calibration(GPU) is None
    assert Machine(reading, (replace(ONE, uuid="GPU-2"),)).calibration(GPU) is None


def test_measured_figures_in_an_estimate() -> None:
    """Context, workspaces and segments are the measured ones; expandable segments lose nothing to half-full ones."""
    scenario = {"model": "gpt2", "task": "train", "seq_len": 512, "hardware": {"gpu": "live:0"}}
    reading = LiveGpus("580.95.05", (GPU,), "")
    usual = memcalc.estimate(scenario, machine=Machine(reading))
    measured = memcalc.estimate(scenario, machine=Machine(reading, (replace(ONE, workspace_second=16 * MIB),)))
    assert measured.peak["allocated"] == usual.peak["allocated"] - 16 * MIB  # 32 + 32 MiB are usual from 9.0 on
    assert measured.peak["device"] - measured.peak["reserved"] == 430 * MIB
    grown = replace(ONE, large_segment=2 * MIB, small_segment=2 * MIB)
    expandable = memcalc.estimate(scenario, machine=Machine(reading, (grown,)))
    set_up = memcalc.estimate({**scenario, "expandable_segments": True}, machine=Machine(reading))
    # 6 MiB of segments that are never full in place of 24, and the waste of expandable segments, by either way
    assert abs(set_up.peak["reserved"] - expandable.peak["reserved"] - 18 * MIB) <= 2 * MIB
    assert expandable.peak["reserved"] < usual.peak["reserved"]
