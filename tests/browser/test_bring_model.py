"""A model looked up on the Hub in a real browser, and its link on a fresh server that may ask nobody."""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import BARS, ROOT, Server
from hub_stand_in import StandIn
from test_links import ask

from memcalc.models import catalogue, packed, portable

CONFIG: dict[str, Any] = {**catalogue.find("Llama-3.2-1B").config, "num_hidden_layers": 9}
MODEL = portable.carried({"config": CONFIG, "name": "Nine-Blocks"})
OWN = packed.pack(MODEL)
PAGES = ("", "training", "inference", "timeline", "batch", "advise", "sweep")


def started(**environment: str) -> Server:
    """A server of its own, with these variables of the environment."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        return Server(ROOT / "app.py", "--server.enableAgentApi", "true")
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@pytest.fixture(scope="module")
def offline() -> Iterator[Server]:
    """A server that has just started, on a machine without a network."""
    server = started(HF_HUB_OFFLINE="1")
    yield server
    server.stop()


@pytest.mark.parametrize("page", PAGES)
def test_a_link_with_a_model_needs_no_network(offline: Server, page: str) -> None:
    shown = ask(offline, page=page, query_params={"own": [OWN], "model": ["Nine-Blocks"]})
    assert "Its config" in shown  # the word below the model that is chosen
    assert "Traceback" not in shown
    assert "were ignored" not in shown


def test_a_wild_link_is_answered_with_a_word(offline: Server) -> None:
    shown = ask(offline, page="", query_params={"own": [OWN[:40]], "model": ["Nine-Blocks"]})
    assert "cut short" in shown
    assert "Traceback" not in shown


def quiet(page: Any) -> None:
    """Wait until the page has been drawn."""
    page.wait_for_selector(BARS, state="attached", timeout=60_000)
    page.wait_for_function("!document.querySelector('[data-testid=\"stStatusWidget\"]')", timeout=60_000)


@pytest.mark.parametrize("width", [1400, 390])
def test_a_model_is_looked_up_shown_and_linked(browser: Any, offline: Server, width: int) -> None:
    hub = StandIn(lambda path, _: (200, json.dumps(CONFIG).encode(), {}) if "Nine" in path else (404, b"", {}))
    server = started(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    context = browser.new_context(viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        page.goto(server.url + "/?gpu=24+GB+card")
        quiet(page)
        page.click(".st-key-bring-model button")
        page.wait_for_selector(".st-key-bring-hub input", timeout=60_000)
        assert hub.asked == []
        page.fill(".st-key-bring-hub input", "some/missing")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=the Hub has no config.json of some/missing", timeout=60_000)
        assert page.input_value(".st-key-bring-hub input") == "some/missing"
        page.fill(".st-key-bring-hub input", "some/Nine-Blocks")
        page.keyboard.press("Enter")
        page.wait_for_function("location.search.includes('model=Nine-Blocks')", timeout=60_000)
        quiet(page)
        assert hub.asked == [f"/some/{name}/resolve/main/config.json" for name in ("missing", "Nine-Blocks")]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        link = urllib.parse.urlsplit(page.url).query
        there = context.new_page()  # another machine: no network, never asked for the model
        there.goto(f"{offline.url}/?{link}")
        quiet(there)
        there.wait_for_selector("text=of some/Nine-Blocks; it is in the link", timeout=60_000)
        assert "were ignored" not in there.inner_text("body")
        here, far = (one.locator(".st-key-verdicts").first for one in (page, there))
        here.wait_for(timeout=60_000)
        assert far.inner_text() == here.inner_text()
    finally:
        context.close()
        server.stop()
        hub.stop()
