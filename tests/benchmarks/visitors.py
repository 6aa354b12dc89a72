"""How much do thirty visitors of the live page cost, beside thirty of an empty page that refreshes as often?

    python tests/benchmarks/visitors.py [visitors, 30] [seconds, 20]

Two servers with the same settings, one after the other: a page that shows the time every two seconds, and the
dashboard's live page over a stand-in for the driver's library with eight cards (needs a C compiler). Each visitor
is a websocket client that does what Streamlit's front end does: it opens the page, then asks for the refreshing part
every two seconds. Measured: processor time of the server and its children, as a share of one core; the delay from
asking to the end of the refresh; the server's threads and child processes. Prints README's table.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / one) for one in ("", "nvml", "benchmarks"))]

from process import children, percentile, processor_time, threads  # noqa: E402
from server import Server  # noqa: E402
from stand_in import StandIn, busy  # noqa: E402
from visitor import Visitor  # noqa: E402

EVERY = 2.0  # seconds; the usual rate of the sampler
#: Most of one core that the live page may take, with thirty visitors.
ALLOWED = 0.5

EMPTY_PAGE = """
import time
import streamlit as st
from memcalc.ui.serve import lifespan, middleware

@st.fragment(run_every=2)
def now():
    st.html(f"<p>{time.time()}</p>")

def main():
    st.set_page_config(layout="wide")
    st.title("Empty")
    now()

if __name__ == "__main__":
    main()
else:
    app = st.App(__file__, middleware=middleware(), lifespan=lifespan)
"""


@dataclass
class Found:
    """What was measured: seconds of processor time a second, seconds from asking to the end of a refresh."""

    processor: float = 0.0
    delays: list[float] = field(default_factory=list)
    bytes: int = 0
    threads: int = 0
    children: int = 0

    def row(self, name: str) -> str:
        size = self.bytes / max(1, len(self.delays)) / 1024
        return (
            f"| {name} | {self.processor:.0%} of a core | {1000 * statistics.median(self.delays):.0f} ms | "
            f"{1000 * percentile(self.delays, 0.9):.0f} ms | {1000 * max(self.delays):.0f} ms | {size:.1f} KiB | "
            f"{self.threads}, {self.children} |"
        )


async def visitor(url: str, page: str, begin: float, end: float, found: Found) -> None:
    """One visitor, who asks first at ``begin`` and until ``end``."""
    async with Visitor(url, page) as one:
        await one.open()
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        while (asked := time.monotonic()) < end:
            answer = await one.refresh()
            found.delays.append(answer.end)
            found.bytes += answer.bytes
            await asyncio.sleep(max(0.0, asked + EVERY - time.monotonic()))


async def measure(server: Server, page: str, visitors: int, seconds: float) -> Found:
    """So many visitors for so long, after a few seconds to come in. They ask one after the other, evenly over the two
    seconds, on both pages alike: all at the same instant would measure the queue."""
    found, pid = Found(), server.process.pid
    begin = time.monotonic() + 6 + visitors * 0.25
    end = begin + seconds
    everybody = []
    for number in range(visitors):
        first = begin + number * EVERY / visitors
        everybody.append(asyncio.create_task(visitor(server.url, page, first, end, found)))
        await asyncio.sleep(EVERY / visitors)
    await asyncio.sleep(max(0.0, begin - time.monotonic()))
    before, at = processor_time(pid), time.monotonic()
    await asyncio.sleep(seconds - 1)
    found.processor = (processor_time(pid) - before) / (time.monotonic() - at)
    found.threads = threads(pid)
    found.children = len(children(pid))
    await asyncio.gather(*everybody)
    return found


def main() -> int:
    visitors = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    folder = Path(tempfile.mkdtemp())
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["MEMCALC_DATA"] = str(folder)
    (folder / "empty.py").write_text(EMPTY_PAGE)
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    driver = StandIn(folder)
    driver.says(busy())
    os.environ |= driver.environment
    print(f"| {visitors} visitors, a refresh every {EVERY:g} s | processor | median delay | 90th percentile | worst | "
          "sent a refresh | threads, children |\n| --- | --- | --- | --- | --- | --- | --- |")  # fmt: skip
    found = Found()
    try:
        for name, script, page in (
            ("an empty page", folder / "empty.py", ""),
            ("Live GPUs, 8 cards", ROOT / "app.py", "gpus"),
        ):
            server = Server(script)
            try:
                found = asyncio.run(measure(server, page, visitors, seconds))
                print(found.row(name), flush=True)
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(found.processor > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
