"""A slider draws the parts of the page that it changes, and nothing else: over the websocket, as a browser asks.

Streamlit's own test harness cannot do this: it forgets what the last run did not draw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import apart
import pytest
from server import ROOT, Server
from visitor import Answer, Visitor


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server(ROOT / "app.py")
    yield started
    started.stop()


async def moved(server: Server, page: str, key: str, value: str) -> tuple[Answer, Answer]:
    """What a movement draws at once; and the whole page of a visitor who comes with that setting."""
    async with Visitor(server.url, page) as one, Visitor(server.url, page, f"{key}={value}") as other:
        await one.open()
        await one.settle()
        return await one.move(key, value), await other.open()


@pytest.mark.parametrize("page", ["", "training", "inference", "timeline", "batch", "sweep"])
def test_a_slider_draws_the_answers_parts_and_they_are_the_whole_pages(server: Server, page: str) -> None:
    found, whole = apart.run(moved(server, page, "seq", "4096"))
    assert found.parts
    assert found.runs == 1  # the browser goes through all elements of the page at each
    assert not {"slider", "selectbox", "button"} & set(found.drawn)  # no control is sent again
    assert len(found.charts) == 1
    assert json.loads(found.charts[0]) == json.loads(whole.charts[0])
    assert {one for one in found.html if "opacity" not in one} <= set(whole.html)
    assert found.bytes < 0.9 * whole.bytes


@pytest.mark.parametrize(("page", "key", "value"), [("batch", "batch", "16"), ("sweep", "batch", "16")])
def test_what_a_slider_does_not_change_is_not_worked_out_again(server: Server, page: str, key: str, value: str) -> None:
    """Only the visitor's point moves: the lines of the batch, and the cells of a map over batch and length, stay."""

    async def both() -> tuple[Answer, Answer]:
        async with Visitor(server.url, page) as one:
            return await one.open(), await one.move(key, value)

    before, after = (json.loads(one.charts[0])["data"] for one in apart.run(both()))
    differing = [new.get("name") for old, new in zip(before, after, strict=True) if old != new]
    assert differing
    assert all("now" in str(name) for name in differing)


def test_a_choice_that_changes_other_controls_draws_the_whole_page(server: Server) -> None:
    """On the page Sweep, LoRA has a rank, which the map can then run over."""

    async def lora() -> Answer:
        async with Visitor(server.url, "sweep") as one:
            await one.open()
            return await one.move("method", "LoRA")

    found = apart.run(lora())
    assert not found.parts
    assert "selectbox" in found.drawn
