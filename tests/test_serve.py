"""How the dashboard is served: small messages go out at once."""

from __future__ import annotations

import gzip
import socket
import sys
import tempfile
from typing import Any

import apart
import pytest

from memcalc.ui import serve


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system may not hand the setting on")
def test_an_accepted_connection_does_not_wait_for_the_browsers_acknowledgement() -> None:
    """A socket that listens without naming its protocol, as Streamlit binds it: what it accepts would hold back every
    second small message for 40 ms (Nagle's algorithm against delayed acknowledgements)."""
    with socket.socket() as listens, socket.socket() as visitor, tempfile.TemporaryFile() as file:
        listens.bind(("127.0.0.1", 0))
        listens.listen()
        assert listens.proto == 0
        assert serve.send_at_once() >= 1
        visitor.connect(listens.getsockname())
        accepted, _ = listens.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not visitor.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # no business of the server's
            accepted.sendall(b"as before")
            assert visitor.recv(99) == b"as before"
        assert file.write(b"as before") == 9


async def _asked(app: Any, path: str, **headers: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of a GET, without a network."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "http", "method": "GET", "path": path, "headers": raw}, receive, send)
    start, *bodies = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return found, b"".join(one["body"] for one in bodies)


@pytest.mark.parametrize("lines", [500, 5])  # compressed, and too short for that
@pytest.mark.parametrize(("cache", "read"), [("public, immutable, max-age=31536000", 1), ("no-cache", 3)])
def test_a_file_that_never_changes_is_read_once_for_all_visitors(cache: str, read: int, lines: int) -> None:
    """The second visitor gets the very bytes and headers of the first; what may change is asked for every time."""
    text = b"let a = 1;\n" * lines
    asked: list[str] = []

    async def files(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        headers = [(b"content-type", b"text/javascript"), (b"cache-control", cache.encode()), (b"etag", b'"7"')]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(text), 1000):
            more = at + 1000 < len(text)
            await send({"type": "http.response.body", "body": text[at : at + 1000], "more_body": more})

    app = serve.Compression(files)
    answers = [apart.run(_asked(app, "/static/js/a.js", accept_encoding="gzip")) for _ in range(3)]
    assert len(asked) == read
    assert answers[0] == answers[1] == answers[2]
    headers, body = answers[2]
    assert (gzip.decompress(body) if lines == 500 else body) == text
    assert headers.get("content-encoding") == ("gzip" if lines == 500 else None)
    assert headers["content-length"] == str(len(body))
    assert headers["vary"] == "Accept-Encoding"
    # A browser that cannot read gzip, and one that asks whether its copy is still good, are answered by Streamlit.
    assert apart.run(_asked(app, "/static/js/a.js"))[1] == text
    apart.run(_asked(app, "/static/js/a.js", accept_encoding="gzip", if_none_match='"7"'))
    assert len(asked) == read + 2
