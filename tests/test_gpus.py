"""The GPU catalogue: its figures against public readings, and how a card's name is understood."""

from __future__ import annotations

import pytest

from memcalc.errors import HardwareError
from memcalc.hardware.gpus import Gpu, assumed_reserve, assumed_total, catalogue, find

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        # Public nvidia-smi outputs, drivers from 510 on.
        ("GeForce RTX 3090", 24576),
        ("GeForce RTX 4080", 16376),
        ("GeForce RTX 4090", 24564),
        ("GeForce RTX 5060 Ti 8GB", 8151),
        ("GeForce RTX 5090", 32607),
        # modal-labs/modal-client PR 2797.
        ("A100 SXM4 40GB", 40960),
        ("A100 SXM4 80GB", 81920),
        ("H100 SXM5 80GB", 81559),
        ("A10", 23028),
        ("L4", 23034),
        ("Tesla T4", 15360),
    ],
)
def test_totals_are_the_drivers(name: str, mib: int) -> None:
    gpu = find(name)
    assert (gpu.name, gpu.total, gpu.kind) == (name, mib * MIB, "measured")


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        # What CUDA shows in total on Linux, in public llama.cpp logs: NVML's total minus the driver's reserve.
        ("GeForce RTX 3060 12GB", 11906),
        ("GeForce RTX 3090", 24123),
        ("GeForce RTX 4090", 24080),
        ("GeForce RTX 5070 Ti", 15808),
        ("Tesla T4", 14912),
        ("A100 SXM4 80GB", 81151),
        ("H100 SXM5 80GB", 81081),
        ("Radeon RX 7900 XTX", 24560),
        # torch.cuda.get_device_properties: 178.35 GiB (pytorch/ao PR 4002), which is 182630 MiB.
        ("B200 SXM 180GB", 182630),
    ],
)
def test_capacity_is_what_the_runtime_shows(name: str, mib: int) -> None:
    assert find(name).capacity == mib * MIB
    assert not find(name).assumptions


@pytest.mark.parametrize("gpu", catalogue(), ids=lambda gpu: gpu.name)
def test_every_row_is_sane(gpu: Gpu) -> None:
    """A slipped digit or column shows: drivers report 93 to 100 % of the box's size and keep under 1 GiB of it."""
    assert gpu.vendor in {"NVIDIA", "AMD", "Intel"}
    assert 0.93 <= gpu.total / (gpu.memory_gb * 1024**3) <= 1.0
    assert 0 <= gpu.reserved < 1024 * MIB
    assert gpu.reserved < 0.08 * gpu.total
    assert gpu.capacity == gpu.total - gpu.reserved > 0
    assert gpu.kind in {"measured", "advertised"}
    assert (gpu.compute_capability is not None) == (gpu.vendor == "NVIDIA")
    assert 2014 <= gpu.year <= 2026
    assert 50 < gpu.bandwidth_gb_s < 10_000
    assert len(gpu.source) > 10


def test_names_are_unique_and_find_themselves() -> None:
    names = [gpu.name for gpu in catalogue()]
    assert len(names) == len({name.casefold() for name in names}) >= 100
    assert all(find(name).name == name and find(name.upper()).name == name for name in names)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("rtx 4090", "GeForce RTX 4090"),
        ("RTX4090", "GeForce RTX 4090"),
        ("4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4080 SUPER", "GeForce RTX 4080 SUPER"),
        ("rtx 4060ti 16 GB", "GeForce RTX 4060 Ti 16GB"),
        ("7900 xtx", "Radeon RX 7900 XTX"),
        # As NVML itself calls them.
        ("NVIDIA A100-SXM4-40GB", "A100 SXM4 40GB"),
        ("Tesla V100-SXM2-16GB", "Tesla V100 SXM2 16GB"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA H100 PCIe", "H100 PCIe 80GB"),
    ],
)
def test_forgiving_names(asked: str, name: str) -> None:
    assert find(asked).name == name


@pytest.mark.parametrize("asked", ["16GB", "16 GB", "16gib", " 16 GiB "])
def test_a_size_is_the_smallest_consumer_card(asked: str) -> None:
    """Of the 16 GB cards the RTX 5070 Ti leaves least: its log says 15808 MiB, the others' 15825 to 16304."""
    gpu = find(asked)
    assert (gpu.name, gpu.capacity) == ("GeForce RTX 5070 Ti", 15808 * MIB)
    assert "GeForce RTX 5070 Ti" in gpu.note
    assert "consumer" in gpu.note
    assert gpu.note in gpu.assumptions


def test_a_size_without_consumer_cards_says_so() -> None:
    gpu = find("80gb")
    assert (gpu.memory_gb, gpu.consumer) == (80.0, False)
    assert "no consumer card has that size" in gpu.note
    assert gpu.capacity == min(other.capacity for other in catalogue() if other.memory_gb == 80)


def test_cards_that_differ_only_in_their_form_are_one() -> None:
    """PCIe and SXM boards of one size: the smaller is taken and the note names both; an H100 NVL is another product."""
    gpu = find("H100")
    assert gpu.memory_gb == 80
    assert "H100 PCIe 80GB" in gpu.note
    assert "H100 SXM5 80GB" in gpu.note
    assert find("A100 80GB").memory_gb == 80


@pytest.mark.parametrize(
    ("asked", "choices"),
    [
        ("A100", {"A100 PCIe 40GB", "A100 SXM4 40GB", "A100 PCIe 80GB", "A100 SXM4 80GB"}),
        ("rtx 4060 ti", {"GeForce RTX 4060 Ti 8GB", "GeForce RTX 4060 Ti 16GB"}),
        ("titan", {"TITAN Xp", "TITAN V", "TITAN RTX"}),
    ],
)
def test_an_ambiguous_name_lists_its_candidates(asked: str, choices: set[str]) -> None:
    with pytest.raises(HardwareError) as caught:
        find(asked)
    assert set(caught.value.choices) == choices
    assert caught.value.field == "hardware.gpu"
    assert all(name in caught.value.message for name in choices)


def test_rtx_6000_is_three_products() -> None:
    with pytest.raises(HardwareError) as caught:
        find("RTX 6000")
    assert {"Quadro RTX 6000", "RTX 6000 Ada"} < set(caught.value.choices)


@pytest.mark.parametrize("asked", ["", "RTX 4095", "nvidia", "9GB", "a big one"])
def test_unknown_names_offer_the_nearest(asked: str) -> None:
    with pytest.raises(HardwareError) as caught:
        find(asked)
    assert caught.value.field == "hardware.gpu"
    assert caught.value.choices
    if asked == "RTX 4095":
        assert "GeForce RTX 4090" in caught.value.choices


def test_the_rules_for_what_is_not_known() -> None:
    """By hand: 400 + 2.5 x 24 = 460 MiB; 0.995 x 16384 = 16302.08 MiB, whole MiB of it."""
    assert assumed_reserve("NVIDIA", (8, 9), 24) == 460 * MIB
    assert assumed_reserve("NVIDIA", (6, 1), 8) == 100 * MIB
    assert assumed_reserve("NVIDIA", (10, 3), 288) == 800 * MIB
    assert assumed_reserve("AMD", None, 16) == 0
    assert assumed_total(16) == 16302 * MIB


def test_the_reserve_rule_is_near_every_known_reserve() -> None:
    """The rule stands for unknown cards, so it may not be far from any known one (A100: 769 against 600)."""
    known = [gpu for gpu in catalogue() if gpu.reserve_kind == "measured" and gpu.vendor == "NVIDIA" and gpu.reserved]
    assert len(known) >= 25
    for gpu in known:
        assert abs(assumed_reserve(gpu.vendor, gpu.compute_capability, gpu.memory_gb) - gpu.reserved) <= 170 * MIB


def test_an_advertised_capacity_is_said_to_be_assumed() -> None:
    gpu = find("Instinct MI300X")
    assert gpu.kind == "advertised"
    assert any("assumed" in sentence for sentence in gpu.assumptions)
