"""Applying advice and clicking the map, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.browser

VERDICT = ".st-key-verdicts"


@pytest.fixture
def visitor(browser: Any, server: Any) -> Iterator[Any]:
    """``visitor(path, selector)``: a new visitor's page on which ``selector`` is there."""
    contexts = []

    def open_page(path: str, selector: str, *, width: int = 1400, height: int = 1100) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.goto(server.url + path)
        page.wait_for_selector(selector, state="attached", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_apply_makes_it_fit_and_the_link_says_so(visitor: Any, server: Any) -> None:
    page = visitor("/advise?gpu=24+GB+card", ".st-key-apply-plan-page button")
    assert "Training needs" in page.inner_text(VERDICT)
    page.click(".st-key-apply-plan-page button")
    page.wait_for_selector(f"{VERDICT}:has-text('Training fits')", timeout=60_000)
    assert "also=" in page.url
    again = visitor(page.url.removeprefix(server.url), "[data-testid=stDataFrame]")
    assert "Training fits" in again.inner_text(VERDICT)


def test_the_first_page_finds_the_cheapest_change_by_itself(visitor: Any) -> None:
    """No slider waits for it: it comes when the page has been left alone for a moment."""
    page = visitor("/?gpu=24+GB+card", ".st-key-apply-plan-train button")
    assert "Cheapest change" in page.inner_text(".st-key-advice")
    page.click(".st-key-apply-plan-train button")
    page.wait_for_selector(f"{VERDICT}:has-text('Training fits')", timeout=60_000)


def test_a_click_on_the_map_makes_that_point_the_scenario(visitor: Any) -> None:
    page = visitor("/sweep?model=gpt2&seq=128", ".st-key-map .heatmaplayer image")
    page.wait_for_timeout(1500)
    box = page.locator(".st-key-map .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    page.wait_for_selector(".st-key-map .hoverlayer .hovertext", timeout=10_000)
    said = page.locator(".st-key-map .hoverlayer").first.text_content()
    assert "weights" in said
    page.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    page.wait_for_function("location.search.includes('batch=')", timeout=20_000)
    batch = page.url.split("batch=")[1].split("&")[0]
    assert f"sequences in a micro-batch {int(batch):,}," in said


@pytest.mark.parametrize("path", ["/advise?gpu=24+GB+card", "/sweep", "/cards", "/run?pref=GRPO"])
def test_a_phone_needs_no_sideways_scrolling(visitor: Any, path: str) -> None:
    page = visitor(path, "[data-testid=stMain] h1", width=390, height=844)
    page.wait_for_timeout(3000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
