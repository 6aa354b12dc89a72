"""Links on a server that has just started, over HTTP, without a browser."""

from __future__ import annotations

import gzip
import json
import urllib.request
from typing import Any

import pytest
from conftest import Server

#: Every address a link may carry, and what its page is called.
PAGES = {"/": "Will it fit?"}


def ask(server: Server, **body: Any) -> str:
    """The page as the server renders it for one new visitor, as text."""
    request = urllib.request.Request(
        f"{server.url}/_stcore/agent/interact",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("path", PAGES)
def test_a_link_works_for_the_first_visitor_and_the_next(path: str, server: Server) -> None:
    query = {"seq": ["4096"], "gpu": ["24 GB card"]}
    for _ in range(2):
        shown = ask(server, page=path.strip("/"), query_params=query)
        assert PAGES[path] in shown
        assert '"4096"' in shown
        assert "Traceback" not in shown


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
