"""One sampler for everybody: a steady rate, one thread, the last minutes, and no thread while nobody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from memcalc.hardware import LiveGpu, LiveGpus, sampler
from memcalc.hardware.sampler import KEEP, Sampler, rate
from memcalc.hardware.worker import Hung

GIB = 2**30
GPU = LiveGpu(0, "0", "GPU-1", "NVIDIA H100", 80 * GIB, 3 * GIB, 76 * GIB, GIB, (9, 0))


def reading(*gpus: LiveGpu, note: str = "") -> LiveGpus:
    return LiveGpus("580.95.05", gpus, note)


def until(holds: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("setting", "seconds"), [(None, 2), ("5", 5), ("0.5", 0.5), ("0", 0.5), ("1e9", 60), ("often", 2), ("nan", 2)]
)
def test_one_setting_for_the_rate(monkeypatch: pytest.MonkeyPatch, setting: str | None, seconds: float) -> None:
    if setting is None:
        monkeypatch.delenv(sampler.SETTING, raising=False)
    else:
        monkeypatch.setenv(sampler.SETTING, setting)
    assert rate() == seconds


def test_thirty_visitors_cost_one_reading_each_time() -> None:
    """A hundred looks from thirty threads: one thread reads, at its own rate."""
    readings: list[str] = []

    def read() -> LiveGpus:
        readings.append(threading.current_thread().name)
        return reading(GPU)

    shared = Sampler(read, every=0.2)
    visitors = [threading.Thread(target=lambda: [shared.view(1) for _ in range(100)]) for _ in range(30)]
    begun = time.monotonic()
    for one in visitors:
        one.start()
    for one in visitors:
        one.join()
    seconds = time.monotonic() - begun
    assert shared.view().devices[0].gpu == GPU
    assert set(readings) == {"memcalc-sampler"}
    assert len(readings) <= 2 + seconds / 0.2


def test_a_look_never_waits_for_the_driver() -> None:
    let_go = threading.Event()

    def read() -> LiveGpus:
        let_go.wait(10)
        return reading(GPU)

    shared = Sampler(read, every=0.1)
    begun = time.monotonic()
    assert shared.view().at is None
    assert time.monotonic() - begun < 0.1
    assert shared.view(0.2).at is None  # the first look may wait, and not longer than it says
    assert time.monotonic() - begun < 1
    let_go.set()
    assert shared.view(5).devices[0].gpu == GPU


def test_reading_ends_when_nobody_looks_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "IDLE", 0.2)
    closed: list[bool] = []
    shared = Sampler(lambda: reading(GPU), every=0.05, close=lambda: closed.append(True))
    shared.view(1)
    until(lambda: shared._thread is None)
    assert closed == [True]
    number = shared._view.number
    shared.view()
    until(lambda: shared._view.number > number)


def test_the_last_values_stay_while_the_driver_hangs() -> None:
    clock, answers = [0.0], iter([reading(GPU), Hung("No answer."), reading(replace(GPU, used=4 * GIB))])

    def read() -> LiveGpus:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    shared = Sampler(read, every=2, clock=lambda: clock[0])
    shared.step()
    clock[0] = 7.0
    hung = shared.step()
    assert (hung.trouble, hung.at, [(one.gpu.used, one.at) for one in hung.devices]) == (
        "No answer.",
        0.0,
        [(3 * GIB, 0.0)],
    )
    clock[0] = 9.0
    back = shared.step()
    assert (back.trouble, back.at, back.devices[0].gpu.used) == ("", 9.0, 4 * GIB)


def test_whatever_goes_wrong_the_sampler_goes_on() -> None:
    answers: list[object] = [RuntimeError("odd"), reading(GPU)]

    def read() -> LiveGpus:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, LiveGpus)
        return answer

    shared = Sampler(read, every=2)
    assert shared.step().trouble == "odd"
    assert shared.step().trouble == ""


def test_history_is_of_the_last_minutes_and_by_device() -> None:
    """A card that changes its number is still the same card by its UUID."""
    clock = [0.0]
    moved = replace(GPU, index=1, device="1", used=5 * GIB)
    found = [reading(GPU)] * 3 + [reading(replace(GPU, uuid="GPU-2"), moved)] * 2
    shared = Sampler(lambda: found.pop(0), every=2, clock=lambda: clock[0])
    for _ in range(5):
        view = shared.step()
        clock[0] += 100
    # read at 0, 100, …, 400; older than KEEP = 300 s at 400 is only the first
    assert KEEP == 300
    assert [(at, gpu.used) for at, gpu in view.series("GPU-1")] == [
        (100, 3 * GIB), (200, 3 * GIB), (300, 5 * GIB), (400, 5 * GIB),
    ]  # fmt: skip


def test_without_a_driver_it_looks_less_often() -> None:
    """Each failure doubles the pause, up to half a minute: an idle laptop is not kept busy. A reading ends that."""
    found = [LiveGpus(None, (), "No driver.")] * 6 + [reading(GPU)]
    shared = Sampler(lambda: found.pop(0), every=2)
    pauses = []
    while found:
        shared.step()
        pauses.append(shared.pause)
    assert pauses == [4, 8, 16, 30, 30, 30, 2]
