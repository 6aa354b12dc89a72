"""The way to every page: the bar of a wide window, the menu of a narrow one."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser

TITLE = "document.querySelector('h1')?.innerText"


def test_the_bar_holds_the_pages_on_one_line(visit: Any) -> None:
    for width in (1400, 1100):
        page = visit(width=width)
        links = page.locator("[data-testid=stTopNavLink]")
        boxes = [links.nth(at).bounding_box() for at in range(links.count())]
        assert len(boxes) >= 6, width
        assert max(box["x"] + box["width"] for box in boxes) < width
        assert {round(box["y"]) for box in boxes} == {round(boxes[0]["y"])}
        assert not page.locator(".st-key-pages").is_visible()


def test_on_a_phone_a_menu_leads_to_every_page_and_loses_nothing(visit: Any) -> None:
    page = visit("/?model=gpt2&batch=4", width=390, height=844, has_touch=True)
    page.locator(".st-key-pages button").tap()
    options = page.get_by_role("menuitem").all_inner_texts()
    assert len(options) >= 5  # all but the one that is shown
    page.keyboard.press("Escape")
    for name in ("Training", "Timeline", "Will it fit?"):
        page.locator(".st-key-pages button").tap()
        page.get_by_role("menuitem", name=name, exact=True).tap()
        page.wait_for_function(f"name => {TITLE} === name", arg=name, timeout=20_000)
        page.wait_for_function("location.search.includes('model=gpt2') && location.search.includes('batch=4')")


def test_the_menu_stays_in_reach_at_the_end_of_the_page(visit: Any) -> None:
    page = visit(width=390, height=844, has_touch=True)
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 100000)")
    assert page.locator(".st-key-pages button").bounding_box()["y"] < 60
