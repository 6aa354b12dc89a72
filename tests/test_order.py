"""Which card a program gets: NVML's order, CUDA's, CUDA_VISIBLE_DEVICES, UUIDs; and what ``live:`` means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memcalc.errors import HardwareError
from memcalc.hardware import LiveGpu, LiveGpus, system
from memcalc.hardware.live import choose
from memcalc.hardware.order import cuda_order

GIB = 2**30
A, B, C = (
    LiveGpu(n, str(n), f"GPU-{letter}a1", name, 80 * GIB, 0, 79 * GIB, GIB, (9, 0))
    for n, (letter, name) in enumerate((("aa", "NVIDIA H100"), ("ab", "NVIDIA H100"), ("bb", "NVIDIA H100")))
)
T4 = replace(B, name="NVIDIA T4")
PART = replace(A, device="0:0", uuid="MIG-1", mig=True)


@pytest.mark.parametrize(
    ("gpus", "environment", "numbers"),
    [
        ((A, B, C), {}, {"0": 0, "1": 1, "2": 2}),
        ((A, B, C), {"CUDA_VISIBLE_DEVICES": "2,0"}, {"0": 1, "1": None, "2": 0}),
        ((A, B, C), {"CUDA_VISIBLE_DEVICES": ""}, {"0": None, "1": None, "2": None}),
        ((A, B, C), {"CUDA_VISIBLE_DEVICES": "-1"}, {"0": None, "1": None, "2": None}),
        # what follows an entry that means nothing is not seen
        ((A, B, C), {"CUDA_VISIBLE_DEVICES": "1,7,0"}, {"0": None, "1": 0, "2": None}),
        ((A, B, C), {"CUDA_VISIBLE_DEVICES": "GPU-bb, GPU-ab"}, {"0": None, "1": 1, "2": 0}),
        ((A, B, C), {"CUDA_VISIBLE_DEVICES": "GPU-a"}, {"0": None, "1": None, "2": None}),  # two cards begin so
        # different cards: the fastest first, which nobody can tell from here, unless the bus decides
        ((A, T4), {}, {}),
        ((A, T4), {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, {"0": 0, "1": 1}),
        ((A, T4), {"CUDA_VISIBLE_DEVICES": "1"}, {}),
        ((A, T4), {"CUDA_VISIBLE_DEVICES": "GPU-ab"}, {"0": None, "1": 0}),
        ((A, B), {"CUDA_VISIBLE_DEVICES": "0,0"}, {}),
        ((PART, B), {}, {}),
    ],
)  # fmt: skip
def test_cudas_numbers(gpus: tuple[LiveGpu, ...], environment: dict[str, str], numbers: dict[str, int | None]) -> None:
    found = cuda_order(gpus, environment)
    assert dict(found.cuda) == numbers
    assert found.said


def test_live_names() -> None:
    parts = (PART, replace(PART, device="0:3", uuid="MIG-2"))
    here = LiveGpus("580", (*parts, B), "")
    assert choose(here, "live:1") is B  # nvidia-smi's number, though it is the third device
    assert choose(here, "live:0:3") is parts[1]
    assert choose(here, "live:GPU-aba1") is B
    assert choose(here, "live:GPU-ab") is B
    assert choose(LiveGpus("580", (PART, B), ""), "live:0") is PART  # its only part
    with pytest.raises(HardwareError) as refused:
        choose(here, "live:0")
    assert refused.value.choices == ["live:0:0", "live:0:3"]
    for wrong in ("live:7", "live:", "live:x", "live:-1", "live:GPU-zz", "live:0:9", "live:MIG-", "live:1;rm"):
        with pytest.raises(HardwareError) as refused:
            choose(here, wrong)
        assert refused.value.field == "hardware.gpu"
        assert refused.value.choices == ["live:0:0", "live:0:3", "live:1"]


def test_other_makers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with an AMD card, an Intel one built in, a server's display chip and a network card."""
    for place, kind, vendor in (
        ("0000:03:00.0", "0x030000", "0x1002"), ("0000:00:02.0", "0x038000", "0x8086"),
        ("0000:05:00.0", "0x030000", "0x1a03"), ("0000:01:00.0", "0x020000", "0x10de"),
    ):  # fmt: skip
        (tmp_path / place).mkdir()
        (tmp_path / place / "class").write_text(kind + "\n")
        (tmp_path / place / "vendor").write_text(vendor + "\n")
    monkeypatch.setattr(system, "PCI_DEVICES", tmp_path)
    assert system.makers() == ("AMD", "Intel")
    assert "AMD and Intel, which memcalc does not read" in system.not_read(system.makers())
    monkeypatch.setattr(system.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(system.platform, "machine", lambda: "arm64")
    assert system.makers() == ("Apple",)
    assert system.not_read(()) == ""
    assert "driver does not answer" in system.not_read(("NVIDIA",))
