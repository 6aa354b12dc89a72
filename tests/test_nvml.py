"""Reading this machine's GPUs, against a hand-written ``pynvml`` that behaves as NVML is documented to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memcalc.hardware import nvml, system

MIB = 1024 * 1024
V2 = 0x02000028
UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 1, 3, 4, 6
NOT_LOADED, NO_LIBRARY, LOST, MISMATCH, UNKNOWN = 9, 12, 15, 18, 999


class NVMLError(Exception):
    """As in nvidia-ml-py: the code is ``value``."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class Fake:
    """A driver with some cards. ``cards`` maps a handle to its answers; an integer answer is an error code."""

    NVMLError = NVMLError
    nvmlMemory_v2 = V2

    def __init__(self, cards: dict[Any, dict[str, Any]], init: int = 0, driver: Any = "580.95.05") -> None:
        self.cards, self.init, self.driver = cards, init, driver
        self.open = 0
        self.shutdowns = 0

    def _answer(self, handle: Any, what: str) -> Any:
        answer = self.cards[handle].get(what, NOT_SUPPORTED)
        if isinstance(answer, int):
            raise NVMLError(answer)
        return answer

    def nvmlInit(self) -> None:
        if self.init:
            raise NVMLError(self.init)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.shutdowns += 1
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> Any:
        if isinstance(self.driver, int):
            raise NVMLError(self.driver)
        return self.driver

    def nvmlDeviceGetCount(self) -> int:
        return len([handle for handle in self.cards if isinstance(handle, int)])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if "lost" in self.cards[index]:
            raise NVMLError(self.cards[index]["lost"])
        return index

    def nvmlDeviceGetName(self, handle: Any) -> Any:
        return self._answer(handle, "name")

    def nvmlDeviceGetUUID(self, handle: Any) -> Any:
        return self._answer(handle, "uuid")

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> Any:
        return self._answer(handle, "capability")

    def nvmlDeviceGetMemoryInfo(self, handle: Any, version: int | None = None) -> Any:
        assert version in (None, V2)
        return self._answer(handle, "v2" if version else "v1")

    def nvmlDeviceGetMigMode(self, handle: Any) -> Any:
        return self._answer(handle, "mig")

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any:
        if (handle, index) not in self.cards:
            raise NVMLError(NOT_FOUND)
        return (handle, index)


def memory(total: int, used: int, free: int, reserved: int | None = None) -> SimpleNamespace:
    """What nvmlDeviceGetMemoryInfo returns, from MiB; version 1 has no ``reserved``."""
    sizes = {"total": total * MIB, "used": used * MIB, "free": free * MIB}
    return SimpleNamespace(**sizes) if reserved is None else SimpleNamespace(**sizes, reserved=reserved * MIB)


def card(name: Any = "NVIDIA GeForce RTX 4090", **answers: Any) -> dict[str, Any]:
    """An idle RTX 4090: 24564 MiB in total, 484 of them the driver's, 20 used."""
    return {
        "name": name,
        "uuid": "GPU-1",
        "capability": (8, 9),
        "v2": memory(24564, 20, 24060, 484),
        "v1": memory(24564, 504, 24060),
    } | answers


def read(monkeypatch: pytest.MonkeyPatch, fake: Any) -> nvml.LiveGpus:
    """One reading of the fake driver, which must have been closed as often as it was opened."""
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    found = nvml.read()
    assert getattr(fake, "open", 0) == 0
    json.dumps(found.as_json())
    return found


def test_a_healthy_card(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake({0: card()})
    found = read(monkeypatch, fake)
    assert fake.shutdowns == 1
    assert (found.driver, found.note) == ("580.95.05", "")
    assert found.as_json()["gpus"] == [
        {
            "index": 0,
            "device": "0",
            "uuid": "GPU-1",
            "name": "NVIDIA GeForce RTX 4090",
            "total": 24564 * MIB,
            "used": 20 * MIB,
            "free": 24060 * MIB,
            "reserved": 484 * MIB,
            "compute_capability": "8.9",
            "mig": False,
            "unified": False,
            "capacity": 24080 * MIB,
            "select": "live:0",
            # What the driver does not tell is null with a reason, never zero.
            **dict.fromkeys(("pci", "utilisation", "temperature", "power", "power_limit", "processes")),
            "reasons": dict.fromkeys(
                ("utilisation", "temperature", "power", "power_limit", "processes"), "this driver is too old to tell"
            ),
        }
    ]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, None)  # None in sys.modules makes the import fail
    assert (found.driver, found.gpus) == (None, ())
    assert "nvidia-ml-py" in found.note


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (NO_LIBRARY, "library"),
        (NOT_LOADED, "not loaded"),
        (MISMATCH, "restarted"),
        (NO_PERMISSION, "permission"),
        (UNKNOWN, "unknown"),
        (77, "77"),
    ],
)
def test_without_a_driver(monkeypatch: pytest.MonkeyPatch, code: int, word: str) -> None:
    found = read(monkeypatch, Fake({}, init=code))
    assert found.as_json()["gpus"] == []
    assert word in found.note
    assert found.note.count(".") == 1
    assert "Traceback" not in found.note


def test_a_driver_without_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, Fake({}))
    assert (found.gpus, found.note) == ((), "The driver reports no GPU.")


def test_an_old_driver_knows_only_version_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under WSL the second version failed with "unknown error": total, used and free remain, the reserve is unknown."""
    (gpu,) = read(monkeypatch, Fake({0: card(v2=UNKNOWN)})).gpus
    assert (gpu.total, gpu.used, gpu.free, gpu.reserved) == (24564 * MIB, 504 * MIB, 24060 * MIB, None)
    assert gpu.capacity == 24564 * MIB


def test_an_old_binding_lacks_version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake({0: card(v2=UNKNOWN)})
    fake.nvmlMemory_v2 = None  # type: ignore[assignment]
    assert read(monkeypatch, fake).gpus[0].used == 504 * MIB


def test_bytes_become_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """nvidia-ml-py before 11.515 returned bytes."""
    found = read(monkeypatch, Fake({0: card(b"Tesla T4", uuid=b"GPU-2")}, driver=b"470.82.01"))
    assert (found.driver, found.gpus[0].name, found.gpus[0].uuid) == ("470.82.01", "Tesla T4", "GPU-2")


def test_one_failing_question_costs_one_field(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, Fake({0: card(uuid=NO_PERMISSION)}, driver=UNKNOWN))
    assert (found.driver, found.gpus[0].uuid, found.gpus[0].total) == (None, None, 24564 * MIB)
    assert "identity of GPU 0: permission was denied" in found.note
    assert "river version" in found.note


def test_a_lost_card_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """live:1 must stay the same card when card 0 falls off the bus."""
    found = read(monkeypatch, Fake({0: {"lost": LOST}, 1: card()}))
    assert [(gpu.index, gpu.device, gpu.total) for gpu in found.gpus] == [(0, "0", None), (1, "1", 24564 * MIB)]
    assert "GPU 0: the GPU has fallen off the bus" in found.note


@pytest.mark.parametrize("code", [UNINITIALIZED, LOST, UNKNOWN])
def test_a_driver_that_dies_midway(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The name was still answered, then nothing: no exception, no invented memory, and NVML is closed."""
    fake = Fake({0: {"name": "NVIDIA H200", "uuid": code, "capability": code, "v2": code, "v1": code, "mig": code}})
    (gpu,) = read(monkeypatch, fake).gpus
    assert (gpu.name, gpu.total, gpu.used, gpu.free, gpu.capacity) == ("NVIDIA H200", None, None, None, None)
    assert fake.shutdowns == 1


def test_mig_devices_stand_for_their_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is divided in two (slots 0 and 3): both are listed, the card itself, which refuses queries, is not."""
    part = {"name": NOT_SUPPORTED, "v2": memory(9728, 0, 9715, 13), "capability": NOT_SUPPORTED}
    fake = Fake(
        {
            0: card("NVIDIA A100-SXM4-40GB", v2=NO_PERMISSION, v1=NO_PERMISSION, mig=(1, 1), capability=(8, 0)),
            (0, 0): part | {"uuid": "MIG-a"},
            (0, 3): part | {"uuid": "MIG-b"},
            1: card(mig=(0, 0)),
        }
    )
    found = read(monkeypatch, fake)
    assert [(gpu.index, gpu.device, gpu.uuid, gpu.mig) for gpu in found.gpus] == [
        (0, "0:0", "MIG-a", True),
        (0, "0:3", "MIG-b", True),
        (1, "1", "GPU-1", False),
    ]
    assert found.gpus[0].name == "NVIDIA A100-SXM4-40GB"
    assert found.gpus[0].compute_capability == (8, 0)
    assert found.gpus[0].capacity == 9715 * MIB
    assert found.note == ""


def test_a_card_in_mig_mode_without_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, Fake({0: card(mig=(1, 1))}))
    assert found.gpus == ()
    assert "MIG" in found.note


@pytest.mark.parametrize("answer", [NOT_SUPPORTED, memory(0, 0, 0, 0)])
def test_memory_shared_with_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any) -> None:
    """GB10 answers "not supported", another driver zeros; its MemTotal is 127600748 kB (seen on a DGX Spark)."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       127600748 kB\nMemFree:  1 kB\nMemAvailable:   100000000 kB\n", encoding="ascii")
    monkeypatch.setattr(system, "MEMINFO", meminfo)
    (gpu,) = (found := read(monkeypatch, Fake({0: card("NVIDIA GB10", v2=answer, v1=answer)}))).gpus
    assert (gpu.total, gpu.free, gpu.used) == (127600748 * 1024, 100000000 * 1024, 27600748 * 1024)
    assert gpu.unified
    assert found.note == "GPU 0 shares the machine's memory, which is shown in its place."


def test_no_memory_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system, "MEMINFO", tmp_path / "none")
    found = read(monkeypatch, Fake({0: card(v2=NOT_SUPPORTED, v1=NOT_SUPPORTED)}))
    assert found.gpus[0].total is None
    assert "memory of gpu 0" in found.note.casefold()
