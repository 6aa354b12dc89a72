"""axe-core over every page, light and dark, wide and as wide as a phone: nothing serious, nothing critical.

axe-core comes with the package axe-playwright-python (extra ``dev``). The pages are read from ``app.py``, so a new
page is judged from its first day. axe does not see inside a chart's drawing: its text alternative is tested here, its
colours in ``tests/test_interface.py``.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import urllib.parse
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from conftest import ROOT, Server, pages

from memcalc.learn import lessons

pytestmark = pytest.mark.browser

PINS = [{"model": "gpt2", "task": task, "hardware": {"gpu": "16GB"}} for task in ("train", "infer")]
FULL_COMPARE = "/compare?pins=" + urllib.parse.quote(json.dumps(PINS, separators=(",", ":")))
#: A lesson's figure, which waits for an answer, and the presenter's page.
LESSONS = ["/learn?lesson=2&step=figure", "/learn?present=true", "/learn?present=true&step=remember"]
NAMES = re.findall(r'url_path="(\w+)"', (ROOT / "app.py").read_text())
PATHS = ["/", *(f"/{name}" for name in NAMES), FULL_COMPARE, *LESSONS]
LOOKS = [(1400, "light"), (1400, "dark"), (390, "dark"), (390, "light")]
#: The words that stand for each chart.
ALTERNATIVES = (
    "Array.from(document.querySelectorAll('[data-testid=stPlotlyChart]'))"
    ".map(one => (one.closest('[aria-label]') || one.querySelector('[aria-label]'))?.getAttribute('aria-label'))"
)
#: What Streamlit itself causes and nobody here can change: (rule, part of the element) to the reason.
STREAMLITS: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module")
def axe() -> str:
    name = "axe_playwright_python"
    needed = os.environ.get("MEMCALC_NEEDS_BROWSER")  # where a missing axe-core is a failure, not an excuse
    missing = "axe-core is missing: pip install -e '.[dev]'"
    package = importlib.import_module(name) if needed else pytest.importorskip(name, reason=missing)
    return (files(package) / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def at(browser: Any, server: Server, axe: str) -> Iterator[Any]:
    """``at(path)``: a page at rest, with axe in it."""
    contexts = []

    def open_page(path: str) -> Any:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        contexts.append(context)
        page = context.new_page()
        page.goto(server.url + path)
        page.wait_for_selector("h1", timeout=60_000)
        rest(page)
        page.evaluate(axe)
        return page

    yield open_page
    for context in contexts:
        context.close()


def rest(page: Any) -> None:
    page.wait_for_timeout(1200)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')")


def faults(page: Any) -> list[tuple[str, str]]:
    """(rule, element) of all that axe calls serious or critical."""
    answer = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    found = [
        (one["id"], node["html"])
        for one in answer["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    return [(rule, html) for rule, html in found if not any(rule == r and part in html for r, part in STREAMLITS)]


@pytest.mark.parametrize("path", PATHS, ids=[path.split("?pins")[0] for path in PATHS])
def test_axe_finds_nothing_serious_and_charts_have_words(path: str, at: Any) -> None:
    page = at(path)
    for width, theme in LOOKS:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(900)
        ground = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (theme == "light")
        assert faults(page) == [], (width, theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    said = page.evaluate(ALTERNATIVES)
    assert all(words and len(words) > 40 for words in said), said


def test_every_page_of_the_dashboard_is_judged() -> None:
    assert {one.path for one in pages()} <= set(PATHS)
    assert {"/exercises", "/images", "/learn"} <= set(PATHS)


@pytest.mark.parametrize("number", range(1, len(lessons.LESSONS) + 1))
def test_a_projector_shows_every_lessons_figure_whole_and_axe_finds_nothing_serious(number: int, at: Any) -> None:
    """1280 × 720: the chart and the sentence about it end above the presenter's bar, and nothing must be scrolled."""
    page = at(f"/learn?present=true&step=figure&lesson={number}")
    page.set_viewport_size({"width": 1280, "height": 720})
    page.wait_for_selector("[data-testid=stPlotlyChart] svg .xaxislayer-above text", state="attached", timeout=60_000)
    rest(page)
    ends = "one => document.querySelector(one)?.getBoundingClientRect().bottom"
    bar = page.evaluate("document.querySelector('.st-key-presenter')?.getBoundingClientRect().top")
    for part in ("[data-testid=stPlotlyChart]", ".mc-headline"):
        assert page.evaluate(ends, part) <= bar, part
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(900)
        assert faults(page) == [], theme


@pytest.mark.parametrize(
    ("path", "button"),
    [("/", "Take it along"), ("/timeline", "Training settings"), ("/training", "Bring a scenario"),
     ("/exercises", "Print a sheet"), ("/learn", "Link and QR code"), ("/learn?present=true", "Link and QR code"),
     ("/learn", "Model: Llama-3.1-8B")],
)  # fmt: skip
def test_axe_finds_nothing_serious_behind_the_buttons(path: str, button: str, at: Any) -> None:
    page = at(path)
    page.get_by_role("button", name=button).click()
    rest(page)
    assert page.locator("[data-testid=stPopoverBody]").is_visible()
    assert faults(page) == []


def test_axe_finds_nothing_serious_in_an_exercise_that_was_answered(at: Any) -> None:
    page = at("/exercises?level=engineer&exercise=2")
    for answer, shown in (("plenty", ".mc-feedback.mc-bad"), ("3 MiB", ".mc-feedback[role=status]")):
        page.get_by_label("Your estimate, in GiB").fill(answer)
        page.keyboard.press("Enter")
        page.wait_for_selector(shown, timeout=60_000)
        rest(page)
        assert faults(page) == []
    page.get_by_role("button", name="Show the solution").click()
    page.wait_for_selector(".mc-solution", timeout=60_000)
    for width, theme in LOOKS:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(900)
        assert faults(page) == [], (width, theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_axe_would_see_a_fault(at: Any) -> None:
    """The instrument itself: grey on white, and a picture without words."""
    page = at("/")
    page.evaluate("document.querySelector('.mc-verdict p').style.color = '#ccc'")
    page.evaluate("document.querySelector('.mc-verdict').append(document.createElement('button'))")
    assert {rule for rule, _ in faults(page)} == {"color-contrast", "button-name"}
