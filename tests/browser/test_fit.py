"""The first page in a real browser: sliders move bars, links reopen, themes, phone, keyboard, offline."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import BARS

from memcalc.ui.colours import contrast

pytestmark = pytest.mark.browser

WIDTHS = f"Array.from(document.querySelectorAll('{BARS}')).map(bar => bar.getBoundingClientRect().width)"
VERDICTS = "Array.from(document.querySelectorAll('.st-key-verdicts h2')).map(line => line.innerText)"
ALT = "document.querySelector('.st-key-phases [aria-label]').getAttribute('aria-label')"


def thumb(page: Any, key: str) -> Any:
    return page.locator(f".st-key-{key} [role=slider], .st-key-{key} input[type=range]").first


def settle(page: Any, before: str, expression: str = ALT) -> None:
    """Wait until an expression's value is no longer ``before``, and the bars have stopped moving."""
    page.wait_for_function(f"before => ({expression}) + '' !== before", arg=str(before), timeout=20_000)
    page.wait_for_timeout(700)


def rgb(text: str) -> str:
    numbers = [int(float(part)) for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    return "#{:02X}{:02X}{:02X}".format(*numbers)


def test_a_slider_moves_the_bars_and_the_verdict(visit: Any) -> None:
    page = visit("/?checkpointing=true")
    before, alt, verdicts = page.evaluate(WIDTHS), page.evaluate(ALT), page.evaluate(VERDICTS)
    thumb(page, "seq").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    settle(page, alt)
    assert page.evaluate(WIDTHS) != before
    assert page.evaluate(VERDICTS) != verdicts
    assert "seq=8192" in page.url


def test_a_copied_link_reopens_what_was_seen(visit: Any) -> None:
    page = visit("/")
    alt = page.evaluate(ALT)
    thumb(page, "batch").focus()
    page.keyboard.press("ArrowRight")
    settle(page, alt)
    page.get_by_text("LoRA", exact=True).click()
    settle(page, page.evaluate(ALT))
    link, seen = page.url.split("/", 3)[3], page.evaluate(ALT)
    assert "batch=2" in link
    assert "method=LoRA" in link
    assert visit("/" + link).evaluate(ALT) == seen


def test_back_and_forward_between_links(visit: Any, server: Any) -> None:
    page = visit("/")
    first = page.evaluate(ALT)
    page.goto(server.url + "/?method=LoRA&seq=4096")
    page.wait_for_selector(BARS, state="attached", timeout=60_000)
    second = page.evaluate(ALT)
    assert second != first
    here = f"alt => document.querySelector('.st-key-phases [aria-label]') && ({ALT}) === alt"
    page.go_back()
    page.wait_for_function(here, arg=first, timeout=20_000)
    page.go_forward()
    page.wait_for_function(here, arg=second, timeout=20_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(visit: Any, theme: str) -> None:
    page = visit("/", color_scheme=theme)
    background = rgb(page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor"))
    assert (background == "#FFFFFF") == (theme == "light")
    for chosen in (".annotation-text", ".xtick text", ".xtitle"):
        fill = page.evaluate(f"getComputedStyle(document.querySelector('.st-key-phases {chosen}')).fill")
        assert contrast(rgb(fill), background) >= 4.5, chosen
    for chosen in (".st-key-verdicts h2", "[data-testid=stMarkdownContainer] p", "label p"):
        colour = page.evaluate(f"getComputedStyle(document.querySelector('{chosen}')).color")
        assert contrast(rgb(colour), background) >= 4.5, chosen


def test_a_phone_needs_no_sideways_scrolling_and_keeps_the_answer_in_view(visit: Any) -> None:
    page = visit("/", width=390, height=844, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "Array.from(document.querySelectorAll('[data-testid=stMain] *')).filter(e => {"
        "const box = e.getBoundingClientRect(); return box.width > 0 && box.right > 391"
        "}).length"
    )
    assert wide == 0
    slider = thumb(page, "new")  # the last control
    slider.scroll_into_view_if_needed()
    box = page.locator(".st-key-verdicts").bounding_box()
    assert 0 <= box["y"] < 200
    assert box["height"] < 200
    assert "Inference" in page.locator(".st-key-verdicts").inner_text()


def test_every_control_is_reached_by_keyboard(visit: Any) -> None:
    page = visit("/")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.closest('[class*=st-key-]') || {}).className || ''"))
    names = " ".join(reached)
    for key in ("source", "model", "gpu", "batch", "seq", "precision", "optimizer", "method", "checkpointing", "infer"):
        assert f"st-key-{key}" in names, key


def test_nothing_leaves_the_machine_and_the_first_visit_is_small(visit: Any, browser: Any, server: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked, received = [], []
    page.on("request", lambda request: asked.append(request.url))
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(server.url)
    page.wait_for_selector(BARS, state="attached", timeout=60_000)
    page.wait_for_timeout(1500)
    outside = [url for url in asked if not url.startswith((server.url, "data:", "blob:"))]
    assert outside == []
    assert sum(received) < 3.5e6
    context.close()


def test_names_in_the_chart_are_hovered_with_their_arithmetic(visit: Any) -> None:
    page = visit("/")
    box = page.locator(BARS).first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hoverlayer .hovertext", timeout=10_000)
    said = page.locator(".hoverlayer").first.text_content()
    assert "8,030,261,248 parameters × 2 B" in said
    assert "GiB" in said
    assert "GB)" in said
