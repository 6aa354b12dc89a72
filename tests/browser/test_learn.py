"""The workshop in a real browser: presenting by keyboard, and the room's link on another machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Server

pytestmark = pytest.mark.browser

LONG = 60_000  # milliseconds; a busy machine
TITLE = ".mc-lesson"


@pytest.fixture
def learn(browser: Any, server: Server) -> Iterator[Any]:
    """``learn(query)``: a new visitor of the workshop."""
    contexts = []

    def open_page(query: str, *, width: int = 1280, height: int = 720) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{server.url}/learn{query}")
        page.wait_for_selector(TITLE, timeout=LONG)
        return page

    yield open_page
    for context in contexts:
        context.close()


def address(page: Any, has: str = "", lacks: str = "") -> None:
    page.wait_for_function(
        "([has, lacks]) => location.search.includes(has) && !(lacks && location.search.includes(lacks))",
        arg=[has, lacks],
        timeout=LONG,
    )


def test_presenting_by_arrow_keys_and_by_a_clicker(learn: Any) -> None:
    page = learn("?present=true")
    page.wait_for_selector(".mc-question li", timeout=LONG)
    assert not page.locator("[data-testid=stHeader]").is_visible()
    assert page.locator("[data-testid=stPlotlyChart]").count() == 0
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("[data-testid=stPlotlyChart]", timeout=LONG)
    address(page, "step=figure")
    page.keyboard.press("PageDown")
    page.wait_for_selector(".mc-remember li", timeout=LONG)
    address(page, "step=remember")
    page.keyboard.press("PageDown")
    page.wait_for_selector(f"{TITLE}:has-text('2. ')", timeout=LONG)
    address(page, "lesson=2", lacks="step=")
    page.keyboard.press("PageUp")
    page.wait_for_selector(f"{TITLE}:has-text('1. ')", timeout=LONG)
    page.wait_for_selector(".mc-remember li", timeout=LONG)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("[data-testid=stPlotlyChart]", timeout=LONG)


def test_a_slider_in_focus_keeps_the_arrow_keys_to_itself(learn: Any) -> None:
    page = learn("?present=true&step=figure")
    page.wait_for_selector(".mc-headline:has-text('1,024 tokens')", timeout=LONG)
    page.locator(".st-key-tokens input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".mc-headline:has-text('2,048 tokens')", timeout=LONG)
    address(page, "tokens=2048")
    assert "step=figure" in page.url


def test_the_rooms_link_opens_the_lesson_at_its_state(learn: Any, server: Server) -> None:
    page = learn("?present=true&step=figure&model=gpt2&tokens=512")
    page.wait_for_selector(".mc-headline:has-text('512 tokens')", timeout=LONG)
    seen = page.locator(".mc-headline").inner_text()
    page.get_by_role("button", name="Link and QR code").click()
    page.wait_for_selector(".mc-code figcaption, [data-testid=stPopoverBody] [data-testid=stAlert]", timeout=LONG)
    page.get_by_label("Address of this server, if it is another").fill("192.0.2.7:8000")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mc-code figcaption:has-text('192.0.2.7:8000')", timeout=LONG)
    link = page.locator(".mc-code figcaption").inner_text()
    assert link.startswith("http://192.0.2.7:8000/learn?")
    assert page.evaluate("document.querySelector('.mc-code img')?.naturalWidth > 50")
    student = learn("?" + link.split("?")[1], width=390, height=844)
    student.wait_for_selector(".mc-headline:has-text('512 tokens')", timeout=LONG)
    assert student.locator(".mc-headline").inner_text() == seen
    assert student.get_by_role("button", name="Model: gpt2").is_visible()
    assert student.get_by_role("button", name="Present").is_visible()  # a reader's page, not the presenter's
    assert student.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_lesson_leads_to_the_dashboard_at_its_state_and_back(learn: Any) -> None:
    page = learn("?step=figure&model=gpt2&tokens=512", height=1000)
    page.wait_for_selector(".mc-headline:has-text('512 tokens')", timeout=LONG)
    page.get_by_role("button", name="Every setting of a training step").click()
    page.wait_for_selector("h1:has-text('Training')", timeout=LONG)
    address(page, "precision=bf16-mixed")
    address(page, "seq=512", lacks="tokens=")
    assert "model=gpt2" in page.url
    page.go_back()
    page.wait_for_selector(".mc-headline:has-text('512 tokens')", timeout=LONG)


def test_every_control_of_a_lesson_is_reached_by_keyboard(learn: Any) -> None:
    """Lesson 2 has each kind of them: numbers of lessons, answers, words, a list, choices, a slider, folded parts."""
    page = learn("?lesson=2&step=figure&move=Tokens+per+sequence", width=1400, height=1000)
    page.wait_for_selector("[data-testid=stPlotlyChart]", timeout=LONG)
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement?.closest('[class*=st-key-]') || {}).className || ''"))
    names = " ".join(reached)
    for key in ("lesson", "model-place", "room", "begin", "answer-2", "glossary", "move", "tokens", "rest", "maps",
                "link-0", "before", "after"):  # fmt: skip
        assert f"st-key-{key}" in names, key
    page.locator(".st-key-rest summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".st-key-rest details[open]", timeout=LONG)
    page.locator(".st-key-sequences input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    address(page, "sequences=2")


def test_the_rooms_code_is_large_enough_to_be_read_from_afar(learn: Any) -> None:
    page = learn("?present=true&step=figure&lesson=3")
    page.wait_for_selector("[data-testid=stPlotlyChart]", timeout=LONG)
    page.get_by_role("button", name="Link and QR code").click()
    page.wait_for_selector("[data-testid=stPopoverBody]", timeout=LONG)
    page.get_by_label("Address of this server, if it is another").fill("192.0.2.7")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mc-code figcaption:has-text('192.0.2.7')", timeout=LONG)
    place = page.locator(".mc-code img").bounding_box()
    assert place
    assert place["width"] >= 250  # of 720 pixels in height
    assert place["y"] >= 0
    assert place["y"] + place["height"] <= 720
