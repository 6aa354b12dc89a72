"""A visitor without a browser: what Streamlit's front end says over its websocket, and what it hears.

It opens a page, moves controls by their keys as the front end does (all states of its controls, the fragment in which
the moved one stands), and asks for parts of the page that refresh by themselves once their time has come.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

LARGEST = 2**26  # bytes of one message
PATIENCE = 120  # seconds that an answer may take


@dataclass(frozen=True)
class Widget:
    """A control as the server has described it."""

    id: str
    kind: str
    fragment: str
    options: tuple[str, ...] = ()


@dataclass
class Answer:
    """What came back for one request: seconds until the chart and until the end, and what was sent."""

    chart: float | None = None
    end: float = 0.0
    bytes: int = 0
    messages: int = 0
    runs: int = 0
    """How often the server began to draw."""
    parts: tuple[str, ...] = ()
    """The fragments that were drawn; none where the whole page was."""
    charts: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    """Kinds of all elements that were sent."""


@dataclass
class Visitor:
    """One visitor of a server. To be used with ``async with``."""

    url: str  # of the server, http://…
    page: str = ""
    query: str = ""
    widgets: dict[str, Widget] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    repeats: dict[str, float] = field(default_factory=dict)
    _hash: str = ""
    _line: Any = None
    _opened: Any = None

    async def __aenter__(self) -> Self:
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        self._opened = connect(address, subprotocols=["streamlit"], max_size=LARGEST, open_timeout=PATIENCE)  # type: ignore[list-item]
        self._line = await self._opened.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._opened.__aexit__(*error)

    async def open(self) -> Answer:
        """Ask for the page."""
        return await self._ask()

    async def move(self, key: str, value: Any) -> Answer:
        """Set a control and wait until what it changes at once is drawn."""
        self.states[key] = value
        return await self._ask(self.widgets[key].fragment)

    async def press(self, key: str) -> Answer:
        """Press a button; it is not held down for what is asked next."""
        try:
            return await self.move(key, True)
        finally:
            self.states.pop(key, None)

    async def follow(self) -> Answer | None:
        """What a fragment that refreshes by itself has drawn once its time has come; None where there is none."""
        if not self.repeats:
            return None
        await asyncio.sleep(next(iter(self.repeats.values())))
        return await self.refresh()

    async def refresh(self) -> Answer:
        """Ask for the fragment that refreshes by itself, now."""
        return await self._ask(next(iter(self.repeats)), by_itself=True)

    async def settle(self) -> list[Answer]:
        """All that follows until nothing on the page refreshes by itself any more."""
        found: list[Answer] = []
        while (one := await self.follow()) is not None and len(found) < 8:
            found.append(one)
        return found

    async def _ask(self, fragment: str = "", by_itself: bool = False) -> Answer:
        message = BackMsg()
        wanted = message.rerun_script
        wanted.page_name = "" if self._hash else self.page
        wanted.page_script_hash, wanted.query_string = self._hash, self.query
        wanted.fragment_id, wanted.is_auto_rerun = fragment, by_itself
        for key, value in self.states.items():
            _put(wanted.widget_states.widgets.add(), self.widgets[key], value)
        began = time.monotonic()
        await self._line.send(message.SerializeToString())
        return await self._answer(began)

    async def _answer(self, began: float) -> Answer:
        found = Answer()
        while True:
            raw = await asyncio.wait_for(self._line.recv(), PATIENCE)
            found.bytes += len(raw)
            found.messages += 1
            message = ForwardMsg.FromString(raw)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                found.runs += 1
                found.parts = tuple(message.metadata.run.fragment_ids)
                if not found.parts:
                    self.repeats.clear()
                    self.widgets.clear()
            elif kind == "navigation":
                self._hash = message.navigation.page_script_hash
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "auto_rerun":
                self.repeats[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            elif kind == "stop_auto_rerun":
                for part in message.stop_auto_rerun.fragment_ids:
                    self.repeats.pop(part, None)
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                self._element(message, found, began)
            elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                found.end = time.monotonic() - began
                self.states = {key: state for key, state in self.states.items() if key in self.widgets}
                return found

    def _element(self, message: ForwardMsg, found: Answer, began: float) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            raise RuntimeError(element.exception.message)
        found.drawn.append(str(kind))
        if kind == "plotly_chart":
            found.chart = found.chart or time.monotonic() - began
            found.charts.append(element.plotly_chart.spec)
        if kind == "html":
            found.html.append(element.html.body)
        shown = getattr(element, kind)
        named = str(getattr(shown, "id", ""))
        if named.startswith("$$ID"):
            key = named.split("-", 2)[2]
            options = tuple(str(one) for one in getattr(shown, "options", ()))
            self.widgets[key] = Widget(named, kind, message.delta.fragment_id, options)


def _put(state: Any, widget: Widget, value: Any) -> None:
    """A control's state as the front end sends it."""
    state.id = widget.id
    if widget.kind == "button":
        state.trigger_value = bool(value)
    elif widget.kind == "checkbox":
        state.bool_value = bool(value)
    elif widget.kind == "selectbox":
        state.string_value = str(value)
    else:
        state.string_array_value.data[:] = [str(value)]
