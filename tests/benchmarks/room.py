"""What does a room of forty cost the laptop that serves it?

    python tests/benchmarks/room.py [visitors, 40] [seconds, 60]

The dashboard is started as ``python -m memcalc room`` starts it. Each visitor is a websocket client that does what
Streamlit's front end does, and walks through the first three lessons: opens the workshop, looks at the figure, moves
its slider every few seconds, goes on to the next lesson. Then the worst that a teacher can do: "everybody, now" (all
move at the same instant, to the same value; then each to another), and "scan this code" (all load the dashboard, open
a lesson, or open it about a model of their own that nobody has asked for before, at the same instant).

Measured: memory and processor time of the server; from asking to the end of the answer at the visitor; bytes that a
first visit sends. The visitors' own work runs on the same machine. Needs Linux, the packages of the extra ``dev`` and
Chromium, to know which files a browser loads. Prints the README's table.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / one) for one in ("browser", "", "benchmarks"))]

from conftest import ARGUMENTS, chromium  # noqa: E402
from process import memory, percentile, processor_time, threads  # noqa: E402
from server import Server  # noqa: E402
from visitor import Answer, Visitor  # noqa: E402

from memcalc.cli import room  # noqa: E402
from memcalc.learn.lessons import LESSONS  # noqa: E402
from memcalc.models import catalogue  # noqa: E402

PAUSE = (3.0, 7.0)  # seconds between two moves of one visitor
MOVES = 4  # of a lesson's variable, before a visitor goes on to the next
WALKED = (1, 2, 3)  # lessons
ROUNDS = 8  # of everybody at the same instant
#: Most that an answer may take for 95 of 100, in seconds: while the room works, and all at the same instant.
ALLOWED, ALLOWED_AT_ONCE = 0.5, 4.0


LOAD = "all load the dashboard's files at the same instant"
HEAVIEST = 4  # the lesson that computes most
OTHERS = f"all open lesson {HEAVIEST} at the same instant, each about another model"
OPEN = "all open the workshop at the same instant"


@dataclass
class Found:
    """What was measured: seconds of every answer by what was asked, memory by when it was looked at."""

    times: dict[str, list[float]] = field(default_factory=dict)
    bytes: dict[str, list[int]] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    processor: float = 0.0
    threads: int = 0

    def note(self, what: str, answer: Answer) -> None:
        self.times.setdefault(what, []).append(answer.end)
        self.bytes.setdefault(what, []).append(answer.bytes)

    def row(self, what: str) -> str:
        times = self.times[what]
        sent = statistics.median(self.bytes[what]) / 1024
        numbers = (statistics.median(times), percentile(times, 0.95), max(times))
        shown = " | ".join(f"{1000 * one:,.0f} ms" for one in numbers)
        work = f"{1000 * self.work[what] / len(times):.0f} ms" if what in self.work else ""
        return f"| {what} | {len(times)} | {shown} | {work} | {sent:.0f} KiB |"

    @contextmanager
    def working(self, what: str, pid: int) -> Iterator[None]:
        """Count the processor time that the server works meanwhile; whatever else the machine does, it is the same."""
        before = processor_time(pid)
        yield
        self.work[what] = self.work.get(what, 0.0) + processor_time(pid) - before


def values(number: int) -> tuple[str, list[str]]:
    """The variable of a lesson that is moved first, by its key, and its values."""
    first = LESSONS[number - 1].variables[0]
    return first.key, [first.name(one) for one in first.values]


async def walk(one: Visitor, number: int, found: Found, begin: float, end: float) -> None:
    """One visitor's way through the lessons, again and again until ``end``."""
    chance = random.Random(number)
    await asyncio.sleep(max(0.0, begin - time.monotonic()) + chance.uniform(0, PAUSE[1]))
    lesson = WALKED[0]
    while time.monotonic() < end:
        if "reveal" in one.widgets:
            found.note("the figure", await one.press("reveal"))
        key, listed = values(lesson)
        for _ in range(MOVES):
            await asyncio.sleep(chance.uniform(*PAUSE))
            if time.monotonic() >= end:
                return
            found.note("a move", await one.move(key, chance.choice(listed)))
        lesson = lesson + 1 if lesson < WALKED[-1] else WALKED[0]
        if lesson == WALKED[0]:
            found.note("another lesson", await one.move("lesson", str(lesson)))
        else:
            found.note("another lesson", await one.press("after"))


async def everybody(room_of: list[Visitor], pid: int, found: Found, what: str, same: bool) -> None:
    """All move at the same instant, to the same value or each to another; one round after the other."""
    key, listed = values(WALKED[0])
    for turn in range(ROUNDS):
        asked = [one.move(key, listed[(turn + (0 if same else at)) % len(listed)]) for at, one in enumerate(room_of)]
        with found.working(what, pid):
            answers = await asyncio.gather(*asked)
        for answer in answers:
            found.note(what, answer)
        await asyncio.sleep(1)


async def all_open(room_of: list[Visitor], pid: int, found: Found, what: str) -> None:
    with found.working(what, pid):
        answers = await asyncio.gather(*(one.open() for one in room_of))
    for answer in answers:
        found.note(what, answer)


async def measure(server: Server, visitors: int, seconds: float, found: Found) -> None:
    pid = server.process.pid
    async with AsyncExitStack() as first:
        one = await first.enter_async_context(Visitor(server.url, "learn"))
        await one.open()
        await one.press("reveal")
    await asyncio.sleep(2)
    found.memory["after one visitor"] = memory(pid)
    async with AsyncExitStack() as stack:
        there = [await stack.enter_async_context(Visitor(server.url, "learn")) for _ in range(visitors)]
        await all_open(there, pid, found, OPEN)
        await asyncio.sleep(2)
        begin = time.monotonic() + 1
        walks = [asyncio.create_task(walk(one, at, found, begin, begin + seconds)) for at, one in enumerate(there)]
        await asyncio.sleep(max(0.0, begin + PAUSE[1] - time.monotonic()))
        before, at = processor_time(pid), time.monotonic()
        await asyncio.sleep(max(1.0, seconds - PAUSE[1] - 1))
        found.processor = (processor_time(pid) - before) / (time.monotonic() - at)
        found.threads = threads(pid)
        await asyncio.gather(*walks)
        found.memory["with all of them"] = memory(pid)
        for one in there:
            await one.move("lesson", str(WALKED[0]))
            if "reveal" in one.widgets:
                await one.press("reveal")
        await everybody(there, pid, found, "all move at the same instant, to one value", True)
        await everybody(there, pid, found, "all move at the same instant, each to another", False)
        found.memory["after the worst"] = memory(pid)
    async with AsyncExitStack() as stack:
        links = [f"lesson={HEAVIEST}&step=figure&model={name}" for name in list(catalogue.names())[:visitors]]
        there = [await stack.enter_async_context(Visitor(server.url, "learn", link)) for link in links]
        await all_open(there, pid, found, OTHERS)
        found.memory["with as many models"] = memory(pid)
    await asyncio.sleep(5)
    found.memory["when all have left"] = memory(pid)
    found.memory["at most"] = memory(pid, "VmHWM")


def files(url: str) -> list[str]:
    """The paths of all that a browser loads at a first visit."""
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url) if request.method == "GET" else None)
        page.goto(url)
        page.wait_for_selector(".js-plotly-plot svg", state="attached", timeout=60_000)
        page.wait_for_timeout(2500)
        browser.close()
    begin = url.split("/learn")[0]
    return [one.removeprefix(begin) for one in asked if one.startswith(begin + "/")]


def load(server: Server, paths: list[str]) -> Answer:
    """Load files as a browser does, compressed, over one connection; none of them is remembered."""
    began, size = time.monotonic(), 0
    line = HTTPConnection("127.0.0.1", server.port, timeout=120)
    for path in paths:
        line.request("GET", path, headers={"Accept-Encoding": "gzip"})
        size += len(line.getresponse().read())
    line.close()
    return Answer(end=time.monotonic() - began, bytes=size)


def all_load(server: Server, paths: list[str], visitors: int, found: Found) -> None:
    with ThreadPoolExecutor(visitors) as pool, found.working(LOAD, server.process.pid):
        for answer in pool.map(lambda _: load(server, paths), range(visitors)):
            found.note(LOAD, answer)


def report(found: Found, visitors: int) -> str:
    """README's tables."""
    lines = [
        f"| {visitors} visitors | answers | median | 95th percentile | worst | server's work for one | sent |",
        "| --- " * 7 + "|",
    ]
    lines += [found.row(what) for what in sorted(found.times, key=lambda what: (what.startswith("all "), what))]
    held = {name: size / 2**20 for name, size in found.memory.items()}
    most = max(found.memory["with all of them"], found.memory["after the worst"])
    each = max(0, most - found.memory["after one visitor"]) / max(1, visitors - 1) / 1024
    lines += [
        "",
        "| the server | |",
        "| --- | --- |",
        f"| processor, while the room works | {found.processor:.0%} of a core |",
    ]
    lines += [f"| memory {name} | {size:.0f} MiB |" for name, size in held.items()]
    lines += [f"| memory for each visitor | {each:.0f} KiB |", f"| threads | {found.threads} |"]
    one = sum(statistics.median(found.bytes[what]) for what in (LOAD, OPEN))
    lines.append(
        f"| a first visit, over the network | {one / 1e6:.2f} MB; {visitors} of them {visitors * one / 1e6:.0f} MB, "
        f"{8 * visitors * one / 50e6:.0f} s at 50 Mbit/s |"
    )
    return "\n".join(lines)


def main() -> int:
    visitors = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    told = room.options("127.0.0.1", 0)
    found, server = Found(), Server(ROOT / "app.py", *told[:2])  # the port is the server's own; the rest it says itself
    try:
        found.memory["started"] = memory(server.process.pid)
        all_load(server, files(f"{server.url}/learn?step=figure"), visitors, found)
        asyncio.run(measure(server, visitors, seconds, found))
    finally:
        server.stop()
    print(report(found, visitors))
    worst = max(percentile(times, 0.95) for what, times in found.times.items() if what.startswith("all move"))
    return int(percentile(found.times["a move"], 0.95) > ALLOWED or worst > ALLOWED_AT_ONCE)


if __name__ == "__main__":
    sys.exit(main())
