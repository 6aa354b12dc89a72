"""Training, Inference and Compare in a real browser: deep links, pins, back and forward, phone, themes."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BARS, ROOT, Server

from memcalc.ui.colours import contrast

pytestmark = pytest.mark.browser

ALT = "document.querySelector('.st-key-phases [aria-label]').getAttribute('aria-label')"
VERDICTS = "Array.from(document.querySelectorAll('.mc-verdict h2')).map(line => line.innerText)"
PINS = [
    {"model": "gpt2", "task": "train", "seq_len": 256, "hardware": {"gpu": "16GB"}},
    {"model": "gpt2", "task": "infer", "inference": {"prompt_tokens": 256}, "hardware": {"gpu": "16GB"}},
]
COMPARE = "/compare?pins=" + urllib.parse.quote(json.dumps(PINS, separators=(",", ":")))
PATHS = {
    "training": "/training?model=gpt2&seq=512&method=LoRA",
    "inference": "/inference?model=gpt2&seq=512&batch=4",
    "images": "/images?parts=nf4+%28bitsandbytes%29&images=2&offload=one+model+at+a+time",
    "vision": "/vision?vision=convnext_tiny+%28torchvision%29&batch=64&precision=fp32",
    "compare": COMPARE,
}


def settle(page: Any, before: str) -> None:
    page.wait_for_function(f"before => ({ALT}) !== before", arg=before, timeout=20_000)
    page.wait_for_timeout(700)


def rgb(text: str) -> str:
    numbers = [int(float(part)) for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    return "#{:02X}{:02X}{:02X}".format(*numbers)


@pytest.fixture
def fresh() -> Iterator[Server]:
    """A server that nobody has visited yet."""
    started = Server(ROOT / "app.py")
    yield started
    started.stop()


@pytest.mark.parametrize("name", PATHS)
def test_a_deep_link_works_for_the_first_visitor_of_a_new_server(name: str, fresh: Server, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(fresh.url + PATHS[name])
    page.wait_for_selector(BARS, state="attached", timeout=60_000)
    page.wait_for_timeout(1000)
    assert page.locator("h1").inner_text() == name.capitalize()
    assert page.get_by_text("Page not found").count() == 0
    context.close()


@pytest.mark.parametrize("name", ["training", "inference"])
def test_a_copied_link_reopens_what_was_seen_with_its_pins(name: str, visit: Any) -> None:
    page = visit(PATHS[name])
    page.locator(".st-key-pin button:visible").first.click()
    page.get_by_text("Compare 1 pinned").wait_for(timeout=60_000)
    alt = page.evaluate(ALT)
    page.locator(".st-key-mask label").first.click()
    settle(page, alt)
    assert "pins=" in page.url
    assert "mask=true" in page.url
    link, seen = page.url.split("/", 3)[3], page.evaluate(ALT)
    again = visit("/" + link)
    assert again.evaluate(ALT) == seen
    again.get_by_text("Compare 1 pinned").click()
    again.wait_for_function("document.querySelector('h1')?.innerText === 'Compare'")
    again.wait_for_selector(BARS, state="attached")
    assert len(again.evaluate(VERDICTS)) == 1
    assert "pins=" in again.url


def test_going_through_the_pages_loses_nothing(visit: Any) -> None:
    page = visit("/training?model=gpt2&seq=512&method=LoRA&rank=64&ema=true")
    first = page.evaluate(ALT)
    for name in ("Inference", "Will it fit?", "Training"):
        page.get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_function("name => document.querySelector('h1')?.innerText === name", arg=name)
    page.wait_for_function(f"first => document.querySelector('.st-key-phases [aria-label]') && ({ALT}) === first",
                           arg=first, timeout=20_000)  # fmt: skip
    page.wait_for_function("location.search.includes('rank=64') && location.search.includes('ema=true')")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PATHS)
def test_text_has_enough_contrast(name: str, theme: str, visit: Any) -> None:
    page = visit(PATHS[name], color_scheme=theme)
    background = rgb(page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor"))
    assert (background == "#FFFFFF") == (theme == "light")
    shown = {".mc-verdict h2", ".mc-legend li", "h1"}
    shown |= {".mc-compare td"} if name == "compare" else {".mc-line", ".mc-change b", "label p"}
    for chosen in shown:
        for colour in page.evaluate(
            f"[...new Set(Array.from(document.querySelectorAll('{chosen}')).map(e => getComputedStyle(e).color))]"
        ):
            assert contrast(rgb(colour), background) >= 4.5, (chosen, colour)


@pytest.mark.parametrize("name", PATHS)
def test_a_phone_needs_no_sideways_scrolling(name: str, visit: Any) -> None:
    page = visit(PATHS[name], width=390, height=844, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "Array.from(document.querySelectorAll('[data-testid=stMain] *')).filter(e => {"
        "const box = e.getBoundingClientRect(); return box.width > 0 && box.right > 391"
        "}).map(e => e.className)"
    )
    assert wide == []


def test_the_answer_stays_in_view_at_the_last_setting(visit: Any) -> None:
    for width in (390, 1440):  # the average is set: its group is open
        page = visit("/training?model=gpt2&seq=512&ema=true", width=width, height=844)
        page.locator(".st-key-ema").scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        box = page.locator(".st-key-verdicts").bounding_box()
        assert 0 <= box["y"] < 120, width


def test_files_can_be_taken_along_and_brought_back(visit: Any, tmp_path: Path) -> None:
    page = visit("/training?model=gpt2&seq=512&ema=true")
    seen = page.evaluate(ALT)
    page.get_by_role("button", name="Take it along").click()
    for label in ("Estimate, JSON", "Estimate, CSV", "Estimate, Markdown", "Figure, HTML", "Scenario, JSON"):
        with page.expect_download(timeout=20_000) as waiting:
            page.get_by_role("button", name=label, exact=True).click()
        waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
    page.keyboard.press("Escape")
    with page.expect_download(timeout=20_000) as waiting:
        page.locator(".modebar-btn").first.click()
    assert waiting.value.suggested_filename == "memcalc-training.png"
    other = visit("/training")
    before = other.evaluate(ALT)
    other.get_by_role("button", name="Bring a scenario").click()
    other.locator("input[type=file]").set_input_files(tmp_path / "memcalc-training-scenario.json")
    settle(other, before)
    assert "ema=true" in other.url
    # The card, the model and every setting are in the file.
    assert other.evaluate(ALT) == seen


def test_every_setting_is_reached_by_keyboard(visit: Any) -> None:
    page = visit("/inference?model=gpt2&seq=512")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.closest('[class*=st-key-]') || {}).className || ''"))
    names = " ".join(reached)
    for key in ("pin", "export", "import", "gpu", "batch", "seq", "new", "mask", "infer", "attention", "logits"):
        assert f"st-key-{key}" in names, key
