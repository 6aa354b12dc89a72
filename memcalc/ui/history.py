"""One step of a visitor is one entry of the browser's history.

Streamlit adds an entry whenever a run of the script changes the address, once for each setting. ``SCRIPT``, put into
the page before Streamlit's own code, lets such a change replace the entry that is shown, unless the page itself
changes or the server asks for an entry (``enter``) by a link that ends in an empty parameter.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import ScriptRunContext

MARK: Final = "&"
"""The end of a link that asks for an entry: an empty parameter, which no reader of links sees."""

_NO_PAGES: Final = ("/_stcore/", "/media/", "/static/", "/component/")

SCRIPT: Final = """<script>
(function () {
  const push = history.pushState, replace = history.replaceState;
  history.pushState = function (state, title, address) {
    const to = new URL(address === undefined || address === null ? location.href : address, location.href);
    const asked = to.search.endsWith("&");
    if (asked) to.search = to.search.replace(/&+$/, "");
    const other = to.pathname !== location.pathname || to.origin !== location.origin;
    return (other || asked ? push : replace).call(history, state, title, to.href);
  };
  history.replaceState = function (state, title, address) {
    if (address === undefined || address === null) return replace.call(history, state, title);
    const to = new URL(address, location.href);
    to.search = to.search.replace(/&+$/, "");
    return replace.call(history, state, title, to.href);
  };
})();
</script>"""


def enter(context: ScriptRunContext) -> None:
    """Ask the browser for a new entry, with the address as it is; what this run changes goes into it."""
    message = ForwardMsg()
    message.page_info_changed.query_string = context.query_string + MARK
    context.enqueue(message)


class HistoryScript:
    """ASGI middleware: ``SCRIPT`` at the head of the page that loads Streamlit."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["path"].startswith(_NO_PAGES):
            # Streamlit would compress the page, where nothing can be put in any more.
            plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            await self.app({**scope, "headers": plain}, receive, _Inserter(send))
        else:
            await self.app(scope, receive, send)


class _Inserter:
    """Passes a response on; a whole HTML page gets the script."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message | None = None
        self.body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self.start = message
            return
        if message["type"] == "http.response.body" and self.start is not None:
            self.body += message.get("body", b"")
            if message.get("more_body", False):
                return
            start, self.start = self.start, None
            body = bytes(self.body).replace(b"<head>", b"<head>" + SCRIPT.encode(), 1)
            headers = MutableHeaders(raw=start["headers"])
            headers["content-length"] = str(len(body))
            if "etag" in headers:  # what a browser keeps from before the script is another page
                headers["etag"] = headers["etag"].removesuffix('"') + '-history"'
            await self.send(start)
            message = {"type": "http.response.body", "body": body}
        await self.send(message)


def _is_page(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return bool(start["status"] == 200) and headers.get("content-type", "").startswith("text/html")
