"""A fresh server for each module, and a headless Chromium; tests are skipped where there is no Chromium."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from server import ROOT, Server, free_port

__all__ = ["ARGUMENTS", "BARS", "ROOT", "Page", "Server", "chromium", "free_port", "pages"]

#: Nothing but this machine can be reached, and Chromium does not try on its own account.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
BARS = ".js-plotly-plot .barlayer path"


@dataclass(frozen=True)
class Page:
    """A page of the dashboard, as ``app.py`` lists it."""

    file: str
    title: str
    path: str  # in an address

    @property
    def default(self) -> bool:
        return self.path == "/"


def pages() -> list[Page]:
    """Every ``st.Page`` of ``app.py``, read off its text: a page that is added there is tested by itself."""
    calls = [node for node in ast.walk(ast.parse((ROOT / "app.py").read_text())) if isinstance(node, ast.Call)]
    found = []
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "Page":
            named = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
            path = "/" if named.get("default") else f"/{named['url_path']}"
            found.append(Page(ast.literal_eval(call.args[0]), named["title"], path))
    assert found
    return found


def chromium() -> str | None:
    """The browser to use: ``$CHROMIUM``, or what the system calls Chromium or Chrome."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server(ROOT / "app.py", "--server.enableAgentApi", "true")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if os.environ.get("MEMCALC_NEEDS_BROWSER"):  # where a missing browser is a failure, not an excuse
        import playwright.sync_api as playwright

        assert chromium(), "no Chromium on this machine"
    else:
        playwright = pytest.importorskip("playwright.sync_api")
        if chromium() is None:
            pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Any]:
    """``visit(path, **context)``: a new visitor's page, with its bars drawn."""
    contexts = []

    def open_page(path: str = "/", *, width: int = 1440, height: int = 1000, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.goto(server.url + path)
        page.wait_for_selector(BARS, state="attached", timeout=60_000)
        page.wait_for_function("!document.querySelector('[data-testid=\"stStatusWidget\"]')")
        return page

    yield open_page
    for context in contexts:
        context.close()
