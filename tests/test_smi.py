"""Pasted nvidia-smi: the layouts of several drivers, several cards, MIG, -q, CSV; and texts that are none of it.

The samples follow outputs published in issues and manuals of public repositories (drivers 375 to 570).
"""

from __future__ import annotations

import time

import pytest

import memcalc
from memcalc.errors import HardwareError
from memcalc.hardware.smi import LARGEST, parse
from memcalc.units import MiB

HEAD = """\
+---------------------------------------------------------------------------------------+
| NVIDIA-SMI {0}             Driver Version: {0}   CUDA Version: 12.2     |
|-----------------------------------------+----------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |         Memory-Usage | GPU-Util  Compute M. |
|                                         |                      |               MIG M. |
|=========================================+======================+======================|
"""
NEW = (
    HEAD.format("535.104.05")
    + """\
|   0  NVIDIA GeForce RTX 3090        On  | 00000000:01:00.0  On |                  N/A |
| 30%   35C    P8              25W / 350W |    345MiB / 24576MiB |      0%      Default |
|                                         |                      |                  N/A |
+-----------------------------------------+----------------------+----------------------+
|   1  NVIDIA GeForce RTX 4090        Off | 00000000:02:00.0 Off |                  Off |
|  0%   31C    P8              11W / 450W |  20001MiB / 24564MiB |     99%      Default |
|                                         |                      |                  N/A |
+-----------------------------------------+----------------------+----------------------+
+---------------------------------------------------------------------------------------+
| Processes:                                                                            |
|    0   N/A  N/A      1234      G   /usr/lib/xorg/Xorg                          300MiB |
+---------------------------------------------------------------------------------------+
"""
)
OLD = """\
| NVIDIA-SMI 418.87.00    Driver Version: 418.87.00    CUDA Version: 10.1     |
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
|===============================+======================+======================|
|   0  Tesla P100-PCIE...  On   | 00000000:07:00.0 Off |                    0 |
| N/A   53C    P0    25W / 250W |  15849MiB / 16280MiB |      0%      Default |
|   1  TITAN X (Pascal)    Off  | 0000:4B:00.0     Off |                  N/A |
| 67%   86C    P2   249W / 250W |   5026MiB / 12221MiB |     82%      Default |
"""
WINDOWS = """\
| NVIDIA-SMI 551.23                 Driver Version: 551.23         CUDA Version: 12.4     |
|   0  NVIDIA GeForce RTX 4070      WDDM  |   00000000:01:00.0  On |                  N/A |
|  0%   40C    P8              9W /  200W |     1203MiB /  12282MiB |     12%      Default |
"""
MIG = (
    HEAD.format("535.104.05")
    + """\
|   0  NVIDIA A30                     Off | 00000000:00:06.0 Off |                   On |
| N/A   47C    P0              78W / 165W |     50MiB / 24576MiB |     N/A      Default |
|                                         |                      |              Enabled |
+-----------------------------------------+----------------------+----------------------+

| MIG devices:                                                                          |
| GPU  GI  CI  MIG |                   Memory-Usage |        Vol|      Shared           |
|==================+================================+===========+=======================|
|  0    2   0   0  |              25MiB / 11968MiB  | 28      0 |  2   0    2    0    0 |
|                  |               0MiB / 16383MiB  |           |                       |
+------------------+--------------------------------+-----------+-----------------------+
|  0    3   0   1  |              12MiB /  5952MiB  | 14      0 |  1   0    1    0    0 |
|                  |               0MiB /  8191MiB  |           |                       |
"""
)
REPORT = """\
==============NVSMI LOG==============

Timestamp                                 : Tue Mar  5 10:00:00 2024
Driver Version                            : 535.154.05
Attached GPUs                             : 2
GPU 00000000:31:00.0
    Product Name                          : NVIDIA RTX A6000
    Product Brand                         : NVIDIA RTX
    MIG Mode
        Current                           : N/A
    FB Memory Usage
        Total                             : 49140 MiB
        Reserved                          : 569 MiB
        Used                              : 100 MiB
        Free                              : 48471 MiB
    BAR1 Memory Usage
        Total                             : 65536 MiB
        Used                              : 1 MiB
        Free                              : 65535 MiB
GPU 00000000:32:00.0
    Product Name                          : NVIDIA A100-SXM4-40GB
    MIG Mode
        Current                           : Enabled
    MIG Device
        Index                             : 0
        GPU Instance ID                   : 1
        FB Memory Usage
            Total                         : 20096 MiB
            Reserved                      : 0 MiB
            Used                          : 19 MiB
            Free                          : 20076 MiB
        BAR1 Memory Usage
            Total                         : 32767 MiB
            Free                          : 32767 MiB
    FB Memory Usage
        Total                             : 40960 MiB
        Reserved                          : 571 MiB
        Used                              : 19 MiB
        Free                              : 40369 MiB
"""


def seen(text: str) -> list[tuple[str, str, int, int, str | None]]:
    return [(one.device, one.name, one.total // MiB, one.free // MiB, one.card) for one in parse(text)]


def test_the_table_of_todays_drivers() -> None:
    """Free by hand: total - used - the driver's reserve (453 MiB measured on the 3090, 484 on the 4090)."""
    assert seen(NEW) == [
        ("0", "NVIDIA GeForce RTX 3090", 24576, 24576 - 345 - 453, "GeForce RTX 3090"),
        ("1", "NVIDIA GeForce RTX 4090", 24564, 24564 - 20001 - 484, "GeForce RTX 4090"),
    ]
    assert "453 MiB" in parse(NEW)[0].note


def test_the_table_of_older_drivers_whose_totals_leave_the_reserve_out() -> None:
    """Names are cut off at a column's width; the card's total tells which it is."""
    assert seen(OLD) == [
        ("0", "Tesla P100-PCIE...", 16280, 431, "Tesla P100 PCIe 16GB"),
        ("1", "TITAN X (Pascal)", 12221, 7195, None),
    ]


def test_the_table_on_windows() -> None:
    (one,) = parse(WINDOWS)
    assert (one.name, one.total // MiB, one.used // MiB) == ("NVIDIA GeForce RTX 4070", 12282, 1203)


def test_mig_devices_take_the_place_of_their_card() -> None:
    assert seen(MIG) == [
        ("0:0", "NVIDIA A30 MIG", 11968, 11943, "A30"),
        ("0:1", "NVIDIA A30 MIG", 5952, 5940, "A30"),
    ]


def test_the_long_report() -> None:
    """Each block's own FB memory, never BAR1's; a divided card by its parts."""
    assert seen(REPORT) == [
        ("0", "NVIDIA RTX A6000", 49140, 48471, "RTX A6000"),
        ("1:0", "NVIDIA A100-SXM4-40GB MIG", 20096, 20076, "A100 SXM4 40GB"),
    ]
    assert parse(REPORT)[0].note == ""


@pytest.mark.parametrize(
    "text",
    [
        "name, memory.total [MiB], memory.free [MiB]\nNVIDIA L4, 23034 MiB, 22000 MiB\n",
        "index, name, memory.free [MiB], memory.total [MiB], driver_version\n0, NVIDIA L4, 22000, 23034, 550.54\n",
        '"name","memory.total [MiB]","memory.free [MiB]"\r\n"NVIDIA L4","23034 MiB","22000 MiB"\r\n',
    ],
)
def test_csv_by_its_header(text: str) -> None:
    assert seen(text) == [("0", "NVIDIA L4", 23034, 22000, "L4")]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Paste"),
        ("hello", "No card"),
        ("GPU 0: NVIDIA A100 (UUID: GPU-1234)", "-L"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "driver"),
        ("NVIDIA L4, 23034 MiB, 22000 MiB", "header"),
        ("name, memory.total [MiB], memory.free [MiB]\nL4, 100 MiB, 200 MiB", "more is used or free"),
        ("name, memory.total [MiB], memory.free [MiB]\nL4, 99999999 MiB, 2 MiB", "that much"),
        ("name, memory.free [MiB]\n" + "L4, 5 MiB\n" * 65, "More than 64"),
        ("x" * (LARGEST + 1), "longer"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, word: str) -> None:
    with pytest.raises(HardwareError, match=word):
        parse(text)


def test_names_are_text_and_short() -> None:
    text = "name, memory.free [MiB]\n<script>alert(1)</script>\x1b[31m" + "A" * 300 + ", 5 MiB\n"
    (one,) = parse(text)
    assert len(one.name) <= 60
    assert one.name.isprintable()
    assert one.card is None


@pytest.mark.parametrize("piece", ["| 0 ", "MiB / ", " ", "GPU 0000:\n", "a, ", "|   0  " + "x" * 70, "1MiB/"])
def test_hostile_repetition_takes_no_time(piece: str) -> None:
    start = time.process_time()
    with pytest.raises(HardwareError):
        parse((piece * LARGEST)[: LARGEST - 1])
    assert time.process_time() - start < 2


def test_free_memory_takes_the_place_of_the_capacity() -> None:
    """The verdict is for what is free, minus the reserve that the person chose."""
    asked = {"model": "gpt2", "hardware": {"gpu": "GeForce RTX 3090", "free": 4096 * MiB, "reserve": 96 * MiB}}
    fit = memcalc.estimate(asked).fit
    assert fit is not None
    assert (fit["capacity"], fit["reserve"], fit["gpu"]) == (4096 * MiB, 96 * MiB, "GeForce RTX 3090")
    assert fit["used_by_others"] == (24576 - 453 - 4096) * MiB
    unnamed = memcalc.estimate({"model": "gpt2", "hardware": {"free": 300 * MiB}})
    assert unnamed.fit is not None
    assert (unnamed.fit["verdict"], unnamed.fit["gpu"]) == ("does not fit", "your card")
