"""Links on a server that has just started, over HTTP, without a browser."""

from __future__ import annotations

import gzip
import json
import urllib.request
from typing import Any

import pytest
from conftest import ROOT, Page, Server, pages


def ask(server: Server, **body: Any) -> str:
    """The page as the server renders it for one new visitor, as text."""
    request = urllib.request.Request(
        f"{server.url}/_stcore/agent/interact",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.title)
def test_a_link_works_for_the_first_visitor_and_the_next(page: Page) -> None:
    fresh = Server(ROOT / "app.py", "--server.enableAgentApi", "true")
    try:
        for _ in range(2):
            shown = ask(fresh, page=page.path.strip("/"))
            assert page.title in shown
            assert "Traceback" not in shown
            assert "not found" not in shown.lower()
    finally:
        fresh.stop()


def test_a_link_carries_settings(server: Server) -> None:
    shown = ask(server, page="", query_params={"seq": ["4096"], "gpu": ["24 GB card"]})
    assert '"4096"' in shown
    assert "24 GB card" in shown


def test_what_the_browser_loads_is_compressed(server: Server) -> None:
    request = urllib.request.Request(server.url + "/", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        page = gzip.decompress(answer.read()).decode()
    script = next(part.split('"')[0] for part in page.split('src="') if part.startswith("./static/js/index"))
    sizes = {}
    for accepted in ("gzip", "identity"):
        request = urllib.request.Request(server.url + script[1:], headers={"Accept-Encoding": accepted})
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
            assert int(answer.headers["Content-Length"]) == len(body)
            sizes[accepted] = len(body)
            if accepted == "gzip":
                body = gzip.decompress(body)
            sizes[accepted + " content"] = hash(body)
    assert sizes["gzip"] < sizes["identity"] / 2
    assert sizes["gzip content"] == sizes["identity content"]


def test_unknown_encodings_and_missing_files_pass_through(server: Server) -> None:
    request = urllib.request.Request(server.url + "/", headers={"Accept-Encoding": "br"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert "Content-Encoding" not in answer.headers
        assert b"<html" in answer.read()
