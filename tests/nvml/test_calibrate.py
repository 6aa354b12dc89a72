"""Calibration: a separate process measures, through NVML's binding, a torch that keeps memory as torch does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stand_in import MIB, StandIn, compiler, machine

import memcalc
from memcalc.errors import HardwareError
from memcalc.hardware import calibration
from memcalc.hardware.calibrate import calibrate
from memcalc.hardware.machine import Machine
from memcalc.hardware.worker import read_within

pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
if compiler() is None:
    pytest.skip("NO C COMPILER: calibration is not tested", allow_module_level=True)
ROOT = Path(__file__).resolve().parents[2]
UUID = "GPU-00000000-1111-2222-3333-444444444444"
WORKSPACE = 8 * MIB + 128 * 1024


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A machine with one card, a torch over it, and a data folder of its own."""
    made = StandIn(tmp_path)
    made.says(machine(1))
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("fake")))
    monkeypatch.setenv(calibration.FOLDER, str(tmp_path / "data"))
    return made


def test_what_is_measured(driver: StandIn) -> None:
    """By hand: the context is what the driver shows for the process less its segments."""
    found = calibrate("live:0")
    assert (found.uuid, found.driver, found.torch, found.cuda) == (UUID, "580.95.05", "2.99.0+fake", "13.0")
    assert (found.context_bare, found.context) == (300 * MIB, 430 * MIB)
    assert (found.workspace_first, found.workspace_second) == (WORKSPACE, WORKSPACE)
    assert (found.small_segment, found.large_segment, found.expandable) == (2 * MIB, 20 * MIB, False)
    assert found.by_process
    assert found.tool == memcalc.__version__


def test_where_the_process_cannot_be_told_the_cards_use_is_taken(
    driver: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TORCH_HIDDEN", "1")
    found = calibrate("live:0")
    assert (found.by_process, found.context_bare, found.context) == (False, 300 * MIB, 430 * MIB)


@pytest.mark.parametrize(
    ("name", "said"), [("FAKE_TORCH_BLIND", "cannot use CUDA"), ("FAKE_TORCH_HANGS", "no result within")]
)
def test_what_goes_wrong_is_said(driver: StandIn, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(HardwareError, match=said):
        calibrate("live:0", patience=6)
    with pytest.raises(HardwareError, match="no live:3"):
        calibrate("live:3")


def command(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memcalc", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60,
        input=said, env=dict(os.environ),
    )  # fmt: skip


def test_the_command_keeps_shows_uses_and_forgets(driver: StandIn) -> None:
    """The context in an estimate for the card is the catalogue's before, the measured one after, and again the
    catalogue's once it is forgotten; a card of the catalogue never changes."""
    asked = [{"model": "gpt2", "hardware": {"gpu": gpu}} for gpu in ("live:0", "H100 SXM5 80GB")]

    def contexts() -> list[int]:
        return [
            one["overhead"]["context"] for one in json.loads(command("estimate", "-", said=json.dumps(asked)).stdout)
        ]

    def device(name: str, *more: str) -> int:
        """What a command says that the process needs on the card, in bytes."""
        options = () if name == "estimate" else ("--json", *more)
        told = json.loads(command(name, "-", *options, said=json.dumps(asked[0])).stdout)
        return int({"estimate": told.get("peak"), "advise": told.get("now")}.get(name, told)["device"])

    usual = contexts()
    needed = device("estimate")
    assert usual == [500 * MIB, 500 * MIB]  # the catalogue's figure for compute capability 9.0
    told = command("calibrate")
    assert told.returncode == 0, told.stdout
    assert "CUDA context 430 MiB (300 bare, 560 with as many kernels again)" in told.stdout
    assert contexts() == [430 * MIB, 500 * MIB]
    assert UUID in command("calibrate", "--list").stdout
    # the other commands use it as well: the process needs as much less
    measured = device("estimate")
    assert needed - measured >= 70 * MIB  # the context, and smaller workspaces
    assert device("fit", "--field", "batch") == device("advise") == measured
    driver.says(machine(1) | {"driver": "590.10"})
    assert contexts() == usual  # measured under another driver: no longer used
    driver.says(machine(1))
    assert "Forgotten" in command("calibrate", "--remove").stdout
    assert contexts() == usual
    assert "Nothing was measured" in command("calibrate", "--list").stdout


def test_an_estimate_says_what_was_measured_and_stays_pure(driver: StandIn) -> None:
    """Only the machine that is handed over counts: a kept calibration does not act by itself."""
    found = calibrate("live:0")
    calibration.save(found)
    reading = read_within()
    scenario = {"model": "gpt2", "task": "train", "seq_len": 256, "hardware": {"gpu": "live:0"}}
    plain = memcalc.estimate(scenario, machine=Machine(reading))
    used = memcalc.estimate(scenario, machine=Machine(reading, (found,)))
    assert plain.overhead["context"] == 500 * MIB
    assert (used.overhead["context"], used.overhead["workspace"]) == (430 * MIB, 2 * WORKSPACE)
    assert any("430 MiB measured on this NVIDIA H100" in line for line in used.assumptions)
    assert plain.peak["tensors"] == used.peak["tensors"]
    # high end: 430 MiB and once more what the small step loaded, 130 MiB
    low, high = used.range["device"]
    assert high - used.range["reserved"][1] == 560 * MIB
    assert low - used.range["reserved"][0] == 300 * MIB
