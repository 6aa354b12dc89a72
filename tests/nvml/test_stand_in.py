"""Live GPUs against a stand-in for the driver's library, through the real binding and a real child process.

``stand_in.c`` has NVML's entry points and return codes; what it answers is in a file. Without a C compiler these
tests are skipped, unless MEMCALC_NEEDS_COMPILER says that this is a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stand_in import MIB, StandIn, busy, card, compiler, divided, machine

from memcalc.hardware.sampler import Sampler
from memcalc.hardware.worker import MOST_STUCK, Hung, Worker, read_within

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
if compiler() is None:
    if os.environ.get("MEMCALC_NEEDS_COMPILER"):
        raise RuntimeError("no C compiler on this machine, and MEMCALC_NEEDS_COMPILER is set")
    warnings.warn("NO C COMPILER: nothing about live GPUs was tested against NVML's binding", stacklevel=1)
    pytest.skip("NO C COMPILER: live GPUs are not tested", allow_module_level=True)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A driver without cards, for this process's children."""
    made = StandIn(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def worker(driver: StandIn) -> Iterator[Worker]:
    made = Worker(patience=8)
    yield made
    made.close()


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    found = read_within()
    if found.gpus:
        pytest.skip("this machine has an NVIDIA GPU")
    assert found.driver is None
    assert found.note == "No NVIDIA GPU can be read here: no NVIDIA driver library was found."


@pytest.mark.parametrize(
    ("code", "said"),
    [(9, "driver is not loaded"), (18, "updated and the machine has not been restarted"), (4, "permission"),
     (999, "unknown")],
)  # fmt: skip
def test_no_driver(driver: StandIn, code: int, said: str) -> None:
    driver.changes({"init": f"!{code}"})
    found = read_within()
    assert (found.driver, found.gpus) == (None, ())
    assert said in found.note


@pytest.mark.parametrize("count", [0, 1, 8, 16])
def test_so_many_devices(driver: StandIn, count: int) -> None:
    driver.says(machine(count))
    found = read_within()
    assert (found.driver, found.cuda) == ("580.95.05", "13.0")
    assert [gpu.device for gpu in found.gpus] == [str(number) for number in range(count)]
    assert found.note == ("" if count else "The driver reports no GPU.")
    for number, gpu in enumerate(found.gpus):
        assert gpu.name == "NVIDIA H100 80GB HBM3"
        assert gpu.uuid == f"GPU-{number:08x}-1111-2222-3333-444444444444"
        assert gpu.pci == f"00000000:{0x10 + number:02X}:00.0"
        assert (gpu.total, gpu.used, gpu.free, gpu.reserved) == (81559 * MIB, 1008 * MIB, 80000 * MIB, 551 * MIB)
        assert (gpu.utilisation, gpu.temperature, gpu.power, gpu.power_limit) == (37, 41, 118.25, 700.0)
        assert gpu.compute_capability == (9, 0)
        assert gpu.processes is not None
        assert [(one.pid, one.name, one.memory, one.kind) for one in gpu.processes] == [
            (4242, "python3.11", 1000 * MIB, "compute")
        ]
        assert gpu.reasons == {}


def test_mig_devices(driver: StandIn) -> None:
    """GPU 0 is divided: its parts stand for it, with memory and processes of their own; GPU 1 keeps its number."""
    driver.says(divided())
    found = read_within()
    assert [(gpu.index, gpu.device, gpu.mig) for gpu in found.gpus] == [
        (0, "0:0", True), (0, "0:1", True), (0, "0:3", True), (1, "1", False),
    ]  # fmt: skip
    part = found.gpus[1]
    assert (part.total, part.used, part.reserved) == (9856 * MIB, 6102 * MIB, 13 * MIB)
    assert part.processes is not None
    assert part.processes[0].memory == 6000 * MIB
    assert (part.temperature, part.utilisation) == (41, None)
    assert "MIG" in part.reasons["utilisation"]
    assert found.note == ""


def test_version_2_of_the_memory_query_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers before 510: "used" holds the driver's reserve as well, and the reserve is not known."""
    old = StandIn(tmp_path, "NO_V2")
    old.says(machine(1))
    for name, value in old.environment.items():
        monkeypatch.setenv(name, value)
    (gpu,) = read_within().gpus
    assert (gpu.total, gpu.used, gpu.free, gpu.reserved) == (81559 * MIB, 1559 * MIB, 80000 * MIB, None)
    assert gpu.reasons == {"reserved": "this driver does not tell its own reserve from what is used"}


def test_what_is_not_supported_is_none_with_a_reason_and_never_zero(driver: StandIn) -> None:
    """As under WSL: memory is told, processes without sizes, utilisation and power not at all."""
    fields = ("utilisation", "temperature", "power", "power_limit")
    driver.says(machine(1, **{"gpu0.processes": "77:na"}) | {f"gpu0.{name}": "!3" for name in fields})
    (gpu,) = read_within().gpus
    assert [getattr(gpu, name) for name in fields] == [None] * 4
    assert {gpu.reasons[name] for name in fields} == {"the driver does not support it on this GPU"}
    assert gpu.processes is not None
    assert gpu.processes[0].memory is None
    assert "WSL" in gpu.reasons["process memory"]


def test_no_permission(driver: StandIn) -> None:
    driver.says(machine(1) | {"gpu0.processes": "!4", "gpu0.graphics": "!4", "gpu0.uuid": "!4"})
    found = read_within()
    (gpu,) = found.gpus
    assert (gpu.processes, gpu.reasons["processes"]) == (None, "permission was denied")
    assert gpu.total == 81559 * MIB
    assert found.note == "Identity of GPU 0: permission was denied."


@pytest.mark.parametrize(
    ("answers", "field", "said"),
    [
        ({"total": 2**60}, "total", "more than any GPU has"),
        ({"used": 90000 * MIB}, "total", "more than the whole"),
        ({"free": 81000 * MIB, "used": 81000 * MIB}, "total", "add up to more than the whole"),
        ({"utilisation": 4294967295}, "utilisation", "impossible share"),
        ({"temperature": 4000}, "temperature", "impossible temperature"),
        ({"power": 4294967295}, "power", "impossible power"),
    ],
)  # fmt: skip
def test_absurd_values_are_not_believed(driver: StandIn, answers: dict[str, object], field: str, said: str) -> None:
    driver.says(machine(1) | {f"gpu0.{name}": value for name, value in answers.items()})
    (gpu,) = read_within().gpus
    assert getattr(gpu, field) is None
    assert said in gpu.reasons[field]
    assert gpu.name == "NVIDIA H100 80GB HBM3"


def test_absurd_counts_and_names(driver: StandIn) -> None:
    driver.says(machine(1) | {"count": 4_000_000})
    found = read_within()
    assert found.gpus == ()
    assert found.note == "The driver reports 4,000,000 GPUs, which cannot be."
    driver.says(machine(1) | {"gpu0.name": "\x07 a\tname\x1b[31m ", "gpu0.capability": "0.0"})
    (gpu,) = read_within().gpus
    assert (gpu.name, gpu.compute_capability) == ("a name [31m", None)


def test_shared_memory(driver: StandIn) -> None:
    """GB10: both memory queries are not supported, all else works; the machine's memory is shown in their place."""
    driver.says(machine(1) | {"gpu0.total": "!3", "gpu0.name": "NVIDIA GB10"})
    found = read_within()
    (gpu,) = found.gpus
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert gpu.unified
    assert gpu.total == int(memory["MemTotal"].split()[0]) * 1024
    assert gpu.temperature == 41
    assert "shares the machine's memory" in found.note


def test_a_card_that_computes_and_draws_is_listed_once(driver: StandIn) -> None:
    told = {"gpu0.graphics": f"4242:{1000 * MIB},9:{3 * MIB}", "process9": "/usr/lib/xorg/Xorg -auth"}
    driver.says(machine(1) | told | {"gpu0.mps": f"77:{2 * MIB}", "process77": "python3"})
    (gpu,) = read_within().gpus
    assert gpu.processes is not None
    assert [(one.pid, one.name, one.kind) for one in gpu.processes] == [
        (4242, "python3.11", "compute and graphics"), (9, "Xorg", "graphics"),
        (77, "python3", "compute through MPS"),
    ]  # fmt: skip


def test_a_card_lost_in_mid_run_and_back(driver: StandIn, worker: Worker) -> None:
    """One sampler through it all: the last values stay with their age, the others go on, and it comes back."""
    clock = [0.0]
    driver.says(machine(3))
    sampler = Sampler(worker.read, every=2, clock=lambda: clock[0])
    assert [one.why for one in sampler.step().devices] == ["", "", ""]
    driver.changes({"gpu1.all": "!15", "gpu2.used": 2000 * MIB, "gpu2.free": 79000 * MIB})
    clock[0] = 2.0
    lost = sampler.step()
    assert [(one.gpu.device, one.why, one.at) for one in lost.devices] == [
        ("0", "", 2.0), ("1", "the GPU has fallen off the bus", 0.0), ("2", "", 2.0),
    ]  # fmt: skip
    assert lost.devices[1].gpu.free == 80000 * MIB
    assert lost.devices[1].gpu.uuid == "GPU-00000001-1111-2222-3333-444444444444"
    assert lost.devices[2].gpu.used == 2000 * MIB
    driver.changes({"gpu1.all": None})
    clock[0] = 4.0
    assert [(one.why, one.at) for one in sampler.step().devices] == [("", 4.0)] * 3


def test_devices_appear_and_vanish(driver: StandIn) -> None:
    """NVML counts devices when a session begins; a new one sees the change. A vanished card stays for a while."""
    clock = [0.0]
    driver.says(machine(1))
    sampler = Sampler(read_within, every=2, clock=lambda: clock[0])
    assert len(sampler.step().devices) == 1
    driver.says(machine(2))
    clock[0] = 2.0
    assert [one.why for one in sampler.step().devices] == ["", ""]
    driver.says(machine(1))
    clock[0] = 4.0
    view = sampler.step()
    assert [(one.gpu.device, one.why, one.at) for one in view.devices] == [
        ("0", "", 4.0), ("1", "the driver no longer lists it", 2.0),
    ]  # fmt: skip
    clock[0] = 400.0
    assert [one.gpu.device for one in sampler.step().devices] == ["0"]


def test_the_driver_is_reloaded_with_another_version(driver: StandIn, worker: Worker) -> None:
    """The old session answers "not initialised"; the child ends, a new one reads on with a library loaded anew."""
    driver.says(machine(2))
    assert worker.read().driver == "580.95.05"
    driver.says(machine(2, generation=1, driver="590.10"))
    broken = worker.read()
    assert broken.gpus == ()
    until(lambda: worker._child is None or worker._child.poll() is not None)
    found = worker.read()
    assert (found.driver, len(found.gpus)) == ("590.10", 2)


def test_a_query_that_hangs(driver: StandIn) -> None:
    """No answer in time is an error, not a wait; the child is ended, and the next question is answered again."""
    driver.says(machine(2))
    worker = Worker(patience=8)
    clock = [0.0]
    sampler = Sampler(worker.read, every=2, clock=lambda: clock[0])
    sampler.step()
    worker.patience = 0.5
    driver.changes({"gpu0.temperature": "hang"})
    clock[0] = 2.0
    begun = time.monotonic()
    view = sampler.step()
    assert time.monotonic() - begun < 3
    assert view.trouble == "The driver has not answered for 0.5 seconds."
    assert [(one.gpu.device, one.at) for one in view.devices] == [("0", 0.0), ("1", 0.0)]
    assert view.at == 0.0
    worker.patience = 8
    driver.changes({"gpu0.temperature": 50})
    clock[0] = 4.0
    again = sampler.step()
    assert (again.trouble, again.devices[0].gpu.temperature) == ("", 50)
    worker.close()


def test_hanging_never_piles_up_threads_or_processes(driver: StandIn) -> None:
    """Ten readings of a driver that hangs: no thread and no process is left."""
    driver.says(machine(1) | {"gpu0.name": "hang"})
    worker = Worker(patience=0.3)
    before = threading.active_count()
    for _ in range(10):
        with pytest.raises(Hung):
            worker.read()
    worker.close()
    until(lambda: threading.active_count() <= before)
    assert worker._stuck == []


def test_children_that_not_even_a_kill_ends_are_few(driver: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that the kernel holds cannot be ended. Made here by a kill that does nothing."""
    driver.says(machine(1) | {"gpu0.name": "hang"})
    monkeypatch.setattr(subprocess.Popen, "kill", lambda self: None)
    worker = Worker(patience=0.3)
    for _ in range(4):
        with pytest.raises(Hung):
            worker.read()
    stuck = list(worker._stuck)
    assert len(stuck) == MOST_STUCK
    with pytest.raises(Hung, match="still holds earlier queries"):
        worker.read()
    driver.changes({"gpu0.name": "back"})  # the kernel lets go: the children answer nobody and end
    until(lambda: all(child.poll() is not None for child in stuck))
    worker.patience = 8
    assert worker.read().gpus[0].name == "back"
    monkeypatch.undo()
    worker.close()


def test_a_library_that_crashes_takes_only_the_child_along(driver: StandIn, tmp_path: Path) -> None:
    driver.says(machine(1))
    worker = Worker((sys.executable, "-c", "import os, sys; sys.stdin.readline(); os.abort()"), patience=8)
    with pytest.raises(Hung, match="ended without an answer"):
        worker.read()
    worker.close()


def command(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memcalc", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, **more},
    )  # fmt: skip


def test_the_command_line(driver: StandIn) -> None:
    driver.says(busy())
    said = command("gpus")
    assert said.returncode == 0
    assert "GPU 4  NVIDIA H100 80GB HBM3" in said.stdout
    assert "process 5120  vllm  21.5 GiB" in said.stdout  # 22,000 MiB
    found = json.loads(command("gpus", "--json").stdout)
    assert set(found) == {"driver", "cuda", "gpus", "note"}
    assert [gpu["index"] for gpu in found["gpus"]] == list(range(8))
    assert {"index", "uuid", "name", "total", "used", "free", "reserved"} <= set(found["gpus"][0])


def test_watching_on_the_command_line(driver: StandIn) -> None:
    driver.says(machine(1))
    # Ctrl-C is ignored in what a script starts in the background, and in what that starts; here it is to be heard.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from memcalc.__main__ import main; sys.exit(main(['gpus', '--watch', '--json']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MEMCALC_LIVE_SECONDS": "0.5"},
    ) as running:  # fmt: skip
        assert running.stdout is not None
        first = json.loads(running.stdout.readline())
        driver.changes({"gpu0.temperature": 77})
        degrees = [json.loads(running.stdout.readline())["gpus"][0]["temperature"] for _ in range(3)]
        running.send_signal(2)
        assert running.wait(10) == 0
    assert first["gpus"][0]["temperature"] == 41
    assert degrees[-1] == 77


def test_a_scenario_names_a_device_by_number_slot_or_uuid(driver: StandIn) -> None:
    """GPU 1 has 20,000 MiB free, part 3 of GPU 0 has 4,847; both are judged by that."""
    driver.says(divided())
    for name, capacity in (
        ("live:1", 20000), ("live:GPU-00000001", 20000), ("live:0:3", 4847), ("live:MIG-03000000", 4847),
    ):  # fmt: skip
        scenario = json.dumps({"model": "gpt2", "hardware": {"gpu": name}})
        said = subprocess.run(
            [sys.executable, "-m", "memcalc", "estimate", "-"], cwd=ROOT, input=scenario, capture_output=True,
            text=True, timeout=60, env=dict(os.environ),
        )  # fmt: skip
        assert json.loads(said.stdout)["fit"]["capacity"] == capacity * MIB, name
    said = command("estimate", "-")
    assert said.returncode == 2


def test_the_second_card_alone(driver: StandIn) -> None:
    """A card more in the middle of the bus: numbers move, UUIDs do not."""
    driver.says(machine(2) | card(0, "NVIDIA T4", uuid="GPU-new") | card(1))
    found = read_within()
    assert [gpu.uuid for gpu in found.gpus] == ["GPU-new", "GPU-00000001-1111-2222-3333-444444444444"]


@pytest.mark.parametrize(("used", "status"), [(1008, 0), (5008, 1)])
def test_the_script_that_compares_with_nvidia_smi(
    driver: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: int, status: int
) -> None:
    """The record against a real driver is made by ``tests/record_gpus.py``; here nvidia-smi is a stand-in as well."""
    driver.says(machine(1) | {"gpu0.temperature": "!3"})
    uuid = "GPU-00000000-1111-2222-3333-444444444444"
    cells = f"{uuid}, NVIDIA H100 80GB HBM3, 81559, 551, {used}, {82008 - 1000 - used}, 35, [N/A], 118.20"
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho '{cells}'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    script = [sys.executable, str(ROOT / "tests" / "record_gpus.py"), str(tmp_path / "record.md")]
    said = subprocess.run(script, capture_output=True, text=True, timeout=120)
    assert said.returncode == status, said.stdout + said.stderr
    assert (tmp_path / "record.md").read_text() == said.stdout
    assert "| temperature.gpu | – | [N/A] | yes |" in said.stdout
