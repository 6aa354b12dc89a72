"""The live page in a real browser, over the stand-in for the driver's library: it refreshes in place and goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Server

from memcalc.ui.colours import contrast

sys.path.insert(0, str(ROOT / "tests" / "nvml"))
from stand_in import MIB, StandIn, busy, compiler, lost

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(compiler() is None, reason="NO C COMPILER: the live page is not tested in a browser"),
]
TEXT = ".mc-gpu :is(h3, p, dd, dt, li, .mc-cuda), .mc-status, .mc-note, .mc-over-all"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, StandIn]]:
    """A server that sees eight cards."""
    folder: Path = tmp_path_factory.mktemp("nvml")
    driver = StandIn(folder)
    driver.says(busy())
    wanted = {**driver.environment, "MEMCALC_DATA": str(folder), "MEMCALC_LIVE_SECONDS": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    started = Server(ROOT / "app.py")
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    yield started, driver
    started.stop()


@pytest.fixture
def visit(browser: Any, machine: tuple[Server, StandIn]) -> Iterator[Any]:
    contexts = []

    def open_page(path: str, width: int = 1400, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 1000}, **more)
        contexts.append(context)
        page = context.new_page()
        page.goto(machine[0].url + path)
        page.wait_for_selector(".mc-gpu", timeout=60_000)
        return page

    machine[1].says(busy())
    yield open_page
    for context in contexts:
        context.close()


def card(page: Any, number: int) -> Any:
    return page.locator(f".mc-gpu[aria-label='GPU {number}']")


def test_it_refreshes_in_place_and_goes_on_when_a_card_is_lost(visit: Any, machine: tuple[Server, StandIn]) -> None:
    page = visit("/gpus?judge=Inference")
    assert page.locator(".mc-gpu").count() == 8
    page.locator(".st-key-which summary").click()
    page.get_by_text("for sure: CUDA_VISIBLE_DEVICES=").wait_for()
    page.evaluate("window.same = true")
    machine[1].changes({"gpu6.used": 5 * 1024 * MIB, "gpu6.free": (81559 - 551 - 5 * 1024) * MIB})
    card(page, 6).get_by_text("74.1 GiB").first.wait_for(timeout=15_000)
    machine[1].says(lost())
    card(page, 3).get_by_text("fallen off the bus").wait_for(timeout=15_000)
    assert "mc-gone" in card(page, 3).get_attribute("class")
    assert "mc-gone" not in card(page, 2).get_attribute("class")
    machine[1].says(busy())
    page.wait_for_function("!document.querySelector('.mc-gone')", timeout=30_000)
    assert page.evaluate("window.same")  # nothing was loaded again
    assert page.get_by_text("for sure: CUDA_VISIBLE_DEVICES=").is_visible()  # what was unfolded stays so


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast_on_lost_cards_too(theme: str, visit: Any, machine: tuple[Server, StandIn]) -> None:
    page = visit("/gpus", color_scheme=theme)
    machine[1].says(lost())
    page.wait_for_selector(".mc-gone", timeout=15_000)
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    for found in page.evaluate(
        f"[...new Set(Array.from(document.querySelectorAll('{TEXT}')).map(e => getComputedStyle(e).color))]"
    ):
        # A lost card lies on grey, an eighth of the way to #7A8592.
        assert contrast(rgb(found), mixed(rgb(background))) >= 4.5, found


def rgb(text: str) -> str:
    numbers = [int(float(part)) for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    return "#{:02X}{:02X}{:02X}".format(*numbers)


def mixed(background: str, grey: str = "#7A8592", share: float = 0.12) -> str:
    pairs = ((int(background[i : i + 2], 16), int(grey[i : i + 2], 16)) for i in (1, 3, 5))
    return "#{:02X}{:02X}{:02X}".format(*(round(one + (other - one) * share) for one, other in pairs))


def test_a_phone_needs_no_sideways_scrolling(visit: Any) -> None:
    page = visit("/gpus", width=390, has_touch=True)
    page.locator(".st-key-which summary").tap()
    page.wait_for_timeout(1500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = card(page, 0).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_the_bars_have_words(visit: Any) -> None:
    page = visit("/gpus?judge=Training")
    said = page.evaluate(
        "Array.from(document.querySelectorAll('.mc-bar, .mc-curve')).map(e => e.getAttribute('aria-label'))"
    )
    assert len(said) >= 16
    assert all(said)
    assert any("already on the card 40.3 GiB" in one for one in said)
