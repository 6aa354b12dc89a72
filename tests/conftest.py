"""What all tests share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from memcalc.models.files import hub


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looked at without a browser has no moment of rest: what waits for one is worked out at once."""
    from memcalc.ui import rest

    monkeypatch.setattr(rest, "PAUSE", 0)


Answer = Callable[[str, str | None], tuple[int, bytes, dict[str, str]]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """``serve(answer)``: a Hub on this machine; what it was asked for comes back as a list."""
    servers = []

    def start(answer: Answer) -> list[str]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                code, body, headers = answer(self.path, self.headers.get("Authorization"))
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        hub._text.cache_clear()
        return asked

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()
