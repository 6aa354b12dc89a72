"""How the dashboard is served: compressed, and opened in the browser once it listens.

Streamlit leaves its own bundles uncompressed and recommends a proxy for that. A laptop has no proxy, and
a classroom's first visit would load 7.4 MB each. ``Compression`` keeps every compressed bundle, so each
is read and compressed once, not once a visitor.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import socket
import stat
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.cli_util import open_browser
from streamlit.web.server.server_util import get_url

from memcalc.ui.history import HistoryScript

SMALLEST = 1024  # bytes; below this compression gains nothing
KEEP = 512  # bodies kept at most
OPEN_AFTER = 0.7  # seconds until the browser is opened
_TEXT = ("text/", "application/javascript", "application/json", "application/manifest+json", "image/svg+xml")


class Compression:
    """ASGI middleware: gzip for text of the front end (``/`` and ``/static/``), each file compressed once. A file that
    Streamlit calls immutable (its name holds a hash of what is in it) is not even read again: forty visitors who come
    at the same instant would otherwise wait for 300 MB to pass through Python."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self.immutable: dict[str, Message] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and not scope["path"].startswith(("/_stcore/", "/media/"))
            and "gzip" in Headers(scope=scope).get("accept-encoding", "")
            and "range" not in Headers(scope=scope)
        )
        if wanted and "if-none-match" not in Headers(scope=scope) and await self._again(scope["path"], send):
            return
        await self.app(scope, receive, _Compressor(self, scope["path"], send) if wanted else send)

    async def _again(self, path: str, send: Send) -> bool:
        """Send an immutable file from the shelf; False where it is not there."""
        start = self.immutable.get(path)
        body = self.kept.get((path, Headers(raw=start["headers"]).get("etag", ""))) if start else None
        if start is None or body is None:
            return False
        await send(start)
        await send({"type": "http.response.body", "body": body})
        return True

    def compress(self, name: tuple[str, str], body: bytes) -> bytes:
        """``body`` compressed, from the shelf if it was seen under this name (path and ETag) before."""
        if name in self.kept:
            self.kept.move_to_end(name)
            return self.kept[name]
        packed = gzip.compress(body, compresslevel=6, mtime=0)
        if name[1]:
            self.keep(name, packed)
        return packed

    def keep(self, name: tuple[str, str], body: bytes) -> None:
        """Put a body on the shelf, as it goes over the wire."""
        self.kept[name] = body
        self.kept.move_to_end(name)
        while len(self.kept) > KEEP:
            self.kept.popitem(last=False)


class _Compressor:
    """Gathers one response, then sends it compressed if it is text and long enough."""

    def __init__(self, shelf: Compression, path: str, send: Send) -> None:
        self.shelf, self.path, self.send = shelf, path, send
        self.start: Message = {}
        self.body = bytearray()
        self.through = False

    async def __call__(self, message: Message) -> None:
        if self.through:
            await self.send(message)
        elif message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            text = headers.get("content-type", "").startswith(_TEXT)
            self.start = message
            if message["status"] != 200 or not text or "content-encoding" in headers:
                self.through = True
                await self.send(message)
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()
        else:
            self.through = True
            await self.send(self.start)
            await self.send(message)

    async def _finish(self) -> None:
        headers = MutableHeaders(raw=self.start["headers"])
        body = bytes(self.body)
        name = (self.path, headers.get("etag", ""))
        if len(body) >= SMALLEST:
            body = self.shelf.compress(name, body)
            headers["content-encoding"] = "gzip"
        if "immutable" in headers.get("cache-control", "") and name[1]:
            self.shelf.keep(name, body)
            self.shelf.immutable[self.path] = self.start
        headers.add_vary_header("Accept-Encoding")
        headers["content-length"] = str(len(body))
        await self.send(self.start)
        await self.send({"type": "http.response.body", "body": body})


def middleware() -> list[Middleware]:
    """What ``st.App`` puts between Streamlit and the network."""
    return [Middleware(Compression), Middleware(HistoryScript)]


def send_at_once() -> int:
    """Have every connection send small messages at once; returned is for how many listening sockets that was done.

    An answer is a dozen small messages. Nagle's algorithm holds the second of them until the browser has acknowledged
    the first, which it does after 40 ms. asyncio turns that off only for sockets that name their protocol, and the
    socket that Streamlit has bound for uvicorn does not (https://github.com/Kludex/uvicorn/issues/3149). Accepted
    connections take the setting over from the socket that listens. In Chromium, on the same machine, the chart then
    stands 1 to 30 ms earlier (medians of three pages and of the empty pages beside them, with and without in turn).
    Where the system does not list what a process has open (Windows), nothing is changed.
    """
    done = 0
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError, ValueError):
                    done += _at_once(int(name))
            break
    return done


def _at_once(descriptor: int) -> bool:
    """``send_at_once`` for one open file, if it is a TCP socket that listens."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as one:
        listens = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
        if not listens or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Answer without delay, and open the visitor's browser once the server listens, as ``streamlit run`` does for plain
    scripts."""
    send_at_once()
    if not config.get_option("server.headless"):
        asyncio.get_running_loop().call_later(OPEN_AFTER, lambda: open_browser(get_url("localhost")))
    yield
