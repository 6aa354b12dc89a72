"""The exercises in a real browser: by keyboard from the field to the next exercise, and the sheet as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Server

pytestmark = pytest.mark.browser

LONG = 60_000  # milliseconds; a busy machine


@pytest.fixture
def visitor(browser: Any, server: Server) -> Iterator[Any]:
    """``visitor(query)``: a new visitor of the exercises."""
    contexts = []

    def open_page(query: str, *, width: int = 1280) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{server.url}/exercises{query}")
        page.wait_for_selector(".mc-given", timeout=LONG)
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_by_keyboard_from_a_bad_answer_to_the_right_one(visitor: Any) -> None:
    """Seed 5, the first exercise: Llama-3.1-8B in fp32, 8,030,261,248 × 4 B = 29.9 GiB."""
    page = visitor("?seed=5", width=390)
    field = page.get_by_label("Your estimate, in GiB")
    field.wait_for(timeout=LONG)
    field.focus()
    page.keyboard.type("plenty")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mc-feedback:has-text('Write a number')", timeout=LONG)
    assert field.input_value() == "plenty"
    field.fill("15 GiB")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mc-feedback:has-text('2 bytes for each weight')", timeout=LONG)
    assert page.locator(".mc-solution").count() == 0
    field.fill("32.1 GB")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mc-feedback:has-text('Right')", timeout=LONG)
    page.wait_for_selector(".mc-solution:has-text('8,030,261,248 × 4 B')", timeout=LONG)
    page.wait_for_selector(".mc-progress:has-text('1 of 6 right')", timeout=LONG)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    following = page.get_by_role("button", name="2. Weights, gradients, optimizer states")
    following.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".mc-lesson:has-text('2. Weights, gradients')", timeout=LONG)
    page.wait_for_function("location.search.includes('exercise=2')", timeout=LONG)
    assert "29.9" not in page.url


def test_the_sheet_is_a_file_that_stands_alone(visitor: Any, tmp_path: Path) -> None:
    page = visitor("?level=practitioner&seed=7")
    page.get_by_role("button", name="Print a sheet").click()
    files = {}
    for label in ("Exercises", "With solutions"):
        button = page.get_by_role("button", name=label, exact=True)
        button.wait_for(timeout=LONG)
        with page.expect_download(timeout=LONG) as waiting:
            button.click()
        files[label] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(files[label])
    assert [one.name for one in files.values()] == [
        "memcalc-practitioner-7.html", "memcalc-practitioner-7-solutions.html"
    ]  # fmt: skip
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.emulate_media(media="print", color_scheme="dark")
    for label, count in (("Exercises", 0), ("With solutions", 8)):
        page.goto(files[label].as_uri())
        page.wait_for_selector("section h2:has-text('1. The cache of a long text')", timeout=LONG)
        assert page.locator(".solution").count() == count
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert all(url.startswith(("file:", "data:")) for url in asked if not url.startswith("http://127.0.0.1")), asked
