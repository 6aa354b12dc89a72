"""The live page as a visitor uses it, over readings that the test hands out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from memcalc import units
from memcalc.errors import HardwareError
from memcalc.hardware import LiveGpu, LiveGpus, Process, calibration, system
from memcalc.hardware.calibration import Calibration, Kept
from memcalc.hardware.machine import Machine
from memcalc.hardware.sampler import NOTHING, Sampler
from memcalc.hardware.worker import Hung
from memcalc.ui import catalogues, gpus_curves, gpus_fit, gpus_measured, gpus_page
from memcalc.ui.gpus_fit import Asked

APP = str(Path(__file__).parents[1] / "app.py")
GIB, MIB = 2**30, 2**20
GPU = LiveGpu(
    0, "0", "GPU-1", "NVIDIA <b>H100</b>", 80 * GIB, 30 * GIB, 49 * GIB, GIB, (9, 0), pci="00000000:10:00.0",
    utilisation=37, temperature=None, power=118.0, power_limit=700.0,
    processes=(Process(4242, "python3.11", 29 * GIB), Process(7, None, None)),
    reasons={"temperature": "the driver does not support it on this GPU"},
)  # fmt: skip
IDLE = replace(GPU, index=1, device="1", uuid="GPU-2", used=0, free=79 * GIB, processes=())


class Fixed:
    """A sampler whose readings the test steps through, with a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *readings: LiveGpus | Hung) -> None:
        self.now = 0.0
        self.readings = list(readings)
        self.sampler = Sampler(self.read, every=2, clock=lambda: self.now)
        monkeypatch.setattr(self.sampler, "view", lambda wait=0.0: self.sampler._view)
        monkeypatch.setattr(catalogues, "sampler", lambda: self.sampler)
        monkeypatch.setattr(catalogues, "measured", lambda: Kept())
        self.step(0.0)

    def read(self) -> LiveGpus:
        answer = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if isinstance(answer, Hung):
            raise answer
        return answer

    def step(self, seconds: float) -> None:
        self.now += seconds
        self.sampler.step()


def here(*gpus: LiveGpu, note: str = "") -> LiveGpus:
    return LiveGpus("580.95.05", gpus, note, "13.0")


def page(**link: str) -> AppTest:
    test = AppTest.from_file(APP, default_timeout=30)
    for key, value in link.items():
        test.query_params[key] = value
    test.switch_page("pages/views/gpus.py").run()
    assert not test.exception
    return test


def shown(test: AppTest) -> str:
    """All HTML of the page."""
    return "\n".join(one.proto.body for one in test.get("html"))


def card(test: AppTest, device: str) -> str:
    return re.search(rf'<section class="[^"]*" aria-label="GPU {device}">.*?</section>', shown(test), re.S)[0]  # type: ignore[index]


def test_a_card_shows_everything_and_a_dash_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    Fixed(monkeypatch, here(GPU, IDLE))
    test = page(judge="Nothing")
    first = card(test, "0")
    assert "49.0 GiB</b> free of 80.0 GiB" in first
    assert "30.0 GiB used, driver keeps 1.00 GiB" in first
    assert "30.0 GiB (32.2 GB) used" in first  # in the bar's words
    assert "<dd>37 %</dd>" in first
    assert "<dd>118 W of 700 W</dd>" in first
    assert "– <small>the driver does not support it on this GPU</small>" in first
    assert "python3.11 <small>4242</small></span><span>29.0 GiB" in first
    assert "a process <small>7</small></span><span>–" in first
    assert "No process is on it." in card(test, "1")
    assert "NVIDIA &lt;b&gt;H100&lt;/b&gt;" in first  # the driver's text stays text
    assert "driver 580.95.05 · CUDA up to 13.0 · 2 devices with 128 GiB free" in shown(test)
    assert "mc-fit" not in first  # nothing is judged


def test_a_model_is_judged_on_every_card_or_on_those_that_were_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama-3.1-8B in bf16 takes some 15 GiB of weights for inference: 49 and 79 GiB hold it. Trained with AdamW it
    takes four times that and more: 49 GiB cannot hold it."""
    Fixed(monkeypatch, here(GPU, IDLE))
    test = page(judge="Inference")
    assert "Llama-3.1-8B inference fits on each of the 2 cards" in shown(test)
    assert "Inference fits, with" in card(test, "0")
    assert 'title="already on the card: 30.0 GiB (32.2 GB)"' in card(test, "0")
    test.segmented_control(key="judge").set_value("Training").run()
    assert "Training needs" in card(test, "0")
    test.multiselect(key="on").set_value(["GPU 1"]).run()
    assert not test.exception
    assert "mc-fit" not in card(test, "0")
    assert "mc-fit" in card(test, "1")
    test.select_slider(key="seq").set_value(512).run()  # the settings below the cards count
    assert not test.exception


def test_the_capacity_is_what_is_free_and_the_verdict_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    live = Fixed(monkeypatch, here(GPU), here(replace(GPU, used=70 * GIB, free=9 * GIB)))
    test = page(judge="Inference")
    assert "Inference fits" in card(test, "0")
    live.step(2)
    test.run()
    assert "Inference needs" in card(test, "0")


def test_a_lost_card_is_greyed_with_its_age_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = LiveGpu(
        0, "0", None, "GPU 0", None, None, None, None, None, reasons={"total": "the GPU has fallen off the bus"}
    )
    live = Fixed(monkeypatch, here(GPU, IDLE), here(gone, replace(IDLE, used=GIB, free=78 * GIB)))
    page(judge="Inference")
    live.step(12)
    test = page(judge="Inference")
    first = card(test, "0")
    assert "mc-gone" in first
    assert "The GPU has fallen off the bus. Figures are 12 s old." in first
    assert "49.0 GiB</b> free" in first  # as it was
    assert "mc-fit" not in first
    assert "mc-gone" not in card(test, "1")
    assert "78.0 GiB</b> free" in card(test, "1")
    assert "1 device with 78.0 GiB free" in shown(test)


def test_a_driver_that_hangs_greys_all_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    live = Fixed(monkeypatch, here(GPU), Hung("The driver has not answered for 5 seconds."))
    page()
    live.step(30)
    test = page()
    assert "mc-gone" in card(test, "0")
    assert "Figures are 30 s old." in card(test, "0")
    assert "The driver has not answered for 5 seconds." in shown(test)
    assert "last read 30 s ago" in shown(test)
    assert "mc-fit" not in card(test, "0")  # nothing is judged by old figures
    assert "as they are now" not in shown(test)


def test_a_run_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process holds 29 GiB. It is not among "the others" then: 1 of the 30 GiB in use is."""
    live = Fixed(monkeypatch, here(GPU, IDLE), here(replace(GPU, used=2 * GIB, free=77 * GIB, processes=())))
    test = page(judge="Inference")
    run = next(one for one in test.selectbox(key="watch").options if "4242" in one)
    assert run == "GPU 0: python3.11 (4242)"
    test.selectbox(key="watch").set_value(run).run()
    first = card(test, "0")
    assert 'title="already on the card: 1.00 GiB (1.07 GB)"' in first
    assert 'class="mc-measured"' in first
    assert "python3.11 (4242) holds 29.0 GiB now: " in first
    assert "more than the estimate of" in first
    assert "mc-measured" not in card(test, "1")
    live.step(2)
    test.run()
    assert not test.exception
    assert test.selectbox(key="watch").value == run  # it has ended, and stays chosen
    assert "It held 29.0 GiB at most" in card(test, "0")


@pytest.mark.parametrize(("there", "said"), [((), "package"), (("AMD",), "made by AMD"), (("Apple",), "made by Apple")])
def test_where_nothing_can_be_read_the_way_on_is_shown(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], said: str
) -> None:
    Fixed(monkeypatch, LiveGpus(None, (), "The package nvidia-ml-py is not installed."))
    monkeypatch.setattr(system, "makers", lambda: there)
    gpus_page._makers.cache_clear()
    test = page()
    gpus_page._makers.cache_clear()
    assert said in test.info[0].value.replace("\\", "")
    assert "catalogue" in test.get("page_link")[0].proto.label
    assert '<section class="mc-gpu' not in shown(test)


def test_cards_that_come_later_are_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reading may come after the page was drawn; a card may be added: the controls follow."""
    live = Fixed(monkeypatch, LiveGpus(None, (), "No driver."), here(GPU), here(GPU, IDLE))
    monkeypatch.setattr(system, "makers", tuple)
    test = page(judge="Inference")
    assert "No driver" in test.info[0].value.replace("\\", "")
    live.step(2)
    fragment = test.run()  # a full run sees the card; so does a refresh, which asks for one
    assert not fragment.info
    assert "mc-fit" in card(fragment, "0")
    live.step(2)
    assert "GPU 1" in page(judge="Inference").multiselect(key="on").options


def test_a_refresh_that_sees_other_cards_than_the_controls_asks_for_a_new_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver answers between the controls and the cards of one run: the page does not stay at "nothing"."""
    live = Fixed(monkeypatch, here(GPU))
    views = [NOTHING]
    monkeypatch.setattr(live.sampler, "view", lambda wait=0.0: views.pop() if views else live.sampler._view)
    test = page(judge="Inference")
    assert not test.info
    assert "mc-fit" in card(test, "0")
    assert "No card is chosen" not in shown(test)


def test_which_card_is_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    Fixed(monkeypatch, here(GPU, IDLE))
    test = page()
    assert "hidden from CUDA" in card(test, "0")
    assert "cuda:0" in card(test, "1")
    assert gpus_page.socket.gethostname() in shown(test)


def test_bad_links_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Fixed(monkeypatch, here(GPU, IDLE))
    test = page(judge="Cooking", nonsense="1")
    said = " ".join(one.value for one in test.info).replace("\\", "")
    assert "Cooking" in said
    assert "nonsense" in said


def test_measured_figures_are_used_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Calibration("GPU-1", "NVIDIA H100", "580.95.05", "2.13.0", "13.0", "2026-11-25", "0.1.0", 300 * MIB,
                      430 * MIB, 32 * MIB, 32 * MIB, 2 * MIB, 20 * MIB, True)  # fmt: skip
    live = Fixed(monkeypatch, here(GPU, IDLE))
    asked = Asked("Inference", '{"model": "gpt2", "task": "infer"}', "gpt2")
    view = live.sampler._view
    used, usual = (gpus_fit.judged(asked, Machine(view.reading, (one,)), gpu, view) for gpu in (GPU, IDLE))
    assert not isinstance(used, str)
    assert not isinstance(usual, str)
    assert (used.measured, usual.measured) == (one, None)
    assert usual.run.device - used.run.device == 70 * MIB  # 500 MiB of the catalogue, 430 measured
    monkeypatch.setattr(catalogues, "measured", lambda: Kept((one,)))
    test = page(judge="Inference")
    assert "measured context" in card(test, "0")
    assert "measured context" not in card(test, "1")


def test_the_button_measures_keeps_and_forgets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the separate process would say is handed out here; ``nvml/test_calibrate.py`` starts the process."""
    one = Calibration("GPU-1", "NVIDIA H100", "580.95.05", "2.13.0", "13.0", "2026-11-25", "0.1.0", 300 * MIB,
                      430 * MIB, 32 * MIB, 32 * MIB, 2 * MIB, 20 * MIB, True)  # fmt: skip
    monkeypatch.setenv(calibration.FOLDER, str(tmp_path))
    reads_the_file = catalogues.measured
    Fixed(monkeypatch, here(GPU))
    monkeypatch.setattr(catalogues, "measured", reads_the_file)
    monkeypatch.setattr(gpus_measured, "possible", lambda: True)
    asked = []

    def measured(name: str, reading: LiveGpus) -> Calibration:
        asked.append(name)
        if len(asked) == 1:
            raise HardwareError("live:0 could not be measured: CUDA out of memory")
        return one

    monkeypatch.setattr(gpus_measured, "calibrate", measured)
    catalogues.measured.clear()
    test = AppTest.from_function(_measured_section, default_timeout=30)
    test.run()
    test.button(key="measure").click().run()
    assert "out of memory" in test.error[0].value
    assert calibration.load().calibrations == ()
    test.button(key="measure").click().run()
    assert not test.exception
    assert asked == ["live:0", "live:0"]
    assert calibration.load().calibrations == (one,)
    assert "430 MiB, 300 MiB bare" in "\n".join(piece.proto.body for piece in test.get("html"))
    test.button(key="forget").click().run()
    assert calibration.load().calibrations == ()
    catalogues.measured.clear()


def _measured_section() -> None:
    """The section of the page, unfolded."""
    from memcalc.ui import catalogues, gpus_measured

    gpus_measured.content(catalogues.live())


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (1.000, "as estimated"), (0.5, "Its highest instant may still come"), (3.0, "above its range"),
    ],
)  # fmt: skip
def test_the_difference_in_words(monkeypatch: pytest.MonkeyPatch, held: float, said: str) -> None:
    live = Fixed(monkeypatch, here(GPU))
    view = live.sampler._view
    asked = Asked("Inference", '{"model": "gpt2", "task": "infer"}', "gpt2")
    plain: Any = gpus_fit.judged(asked, Machine(view.reading), GPU, view)
    size = int(plain.run.device * held)
    words = gpus_fit.difference(replace(plain, own=size, own_peak=size), "It")
    assert said in words
    assert f"holds {units.binary(size)} now" in words


def test_a_curve_is_cut_to_shape() -> None:
    """300 s wide, 5 s a step: two readings of the last seconds are the last step; a gap goes down to the ground."""
    assert gpus_curves.shape([(99.0, 0.2), (100.0, 0.5)], now=100) == "98.3% 100%,98.3% 50%,100.0% 50%,100.0% 100%"
    gap = gpus_curves.shape([(0.0, 1.0), (100.0, 1.0)], now=100).split(",")
    assert gap.count("65.0% 100%") == 1  # step 40 of 60 begins
    assert "66.7% 100%" in gap  # … and ends on the ground
    assert gap[-1] == "100.0% 100%"
    assert gpus_curves.shape([(0.0, 1.0)], now=1000) == ""
