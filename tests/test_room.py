"""``python -m memcalc room`` as a teacher starts it: other machines reach it by the address that it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import apart
import pytest
from server import ROOT, free_port
from visitor import Visitor
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from memcalc.learn import network

PATIENCE = 90  # seconds; a busy machine


@pytest.fixture(scope="module")
def room() -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """The running command, what it has said, its port."""
    port = free_port()
    started = subprocess.Popen(
        [sys.executable, "-m", "memcalc", "room", "--port", str(port)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert started.stdout is not None
    said = ""
    for line in started.stdout:
        said += line
        if "URL:" in line:  # Streamlit's own word that it listens
            break
    yield started, said, port
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
    started.stdout.close()
    started.wait()


def reached(said: str) -> str:
    """The address that students are told; where this machine is in no network, its own."""
    found = re.search(r"students +(http://[\d.]+:\d+)/learn", said)
    return found[1] if found else f"http://127.0.0.1:{re.findall(r':([0-9]+)/', said)[0]}"


def test_a_student_opens_the_workshop_by_the_address_that_is_said(room: tuple) -> None:
    _, said, port = room
    url = reached(said)
    assert ("students   http" in said) == bool(network.addresses())
    assert url.endswith(f":{port}")

    async def walk() -> None:
        async with Visitor(url, "learn") as one:
            await one.open()
            shown = await one.press("reveal")
            assert len(shown.charts) == 1
            moved = await one.move("tokens", "4096")
            assert len(moved.charts) == 1
            assert moved.parts  # the lesson's figure alone
            assert "4,096 tokens" in " ".join(moved.html)

    apart.run(walk())


def test_the_rooms_pages_are_taken_and_strangers_pages_are_not(room: tuple) -> None:
    """A browser says which page a connection comes from: the room's own address is welcome, another site's is not."""
    url = reached(room[1])
    socket = url.replace("http", "ws") + "/_stcore/stream"

    async def tried(origin: str) -> int:
        try:
            async with connect(socket, subprotocols=["streamlit"], origin=origin, open_timeout=PATIENCE):  # type: ignore[list-item,arg-type]
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert apart.run(tried(url)) == 101
    assert apart.run(tried("http://elsewhere.example")) == 403


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl+C cannot be sent to one process there")
def test_ctrl_c_ends_it_without_a_traceback(room: tuple) -> None:
    started, _, _ = room
    os.killpg(started.pid, signal.SIGINT)
    began = time.monotonic()
    rest, _ = started.communicate(timeout=PATIENCE)
    assert started.returncode == 0
    assert "Traceback" not in rest
    assert time.monotonic() - began < PATIENCE
