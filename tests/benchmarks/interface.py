"""How much slower is the dashboard than an empty Streamlit page with an equally large chart?

    python tests/benchmarks/interface.py [rounds] [page ...]

For every page of ``app.py`` that has a slider and a chart, an empty page is made: one slider, and below it
the very charts that the dashboard draws first for each value of that slider, ready-made. Both are served
with the same settings and the same middleware, and both hand Streamlit a plain dictionary. In headless
Chromium the sliders are moved by keyboard, one page after the other in every round, so that whatever else
the machine does meets both alike. Measured are milliseconds from the key to the last change inside the
chart (in the browser, by its own clock), processor time of the server for a move until the chart stands, the same
with what the dashboard draws once the slider has rested, processor time that the browser's page spends until the
chart stands, and what a first visit loads. Each move begins at rest, so that what follows a move on one page is never
at work while the other is measured. Medians of all rounds; ratios are what counts.
Prints the README's table. Needs Chromium and the packages of the extra ``dev``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from conftest import ARGUMENTS, Page, Server, chromium, pages  # noqa: E402

#: Most that the dashboard may take, as a multiple of the empty page, and a first visit's bytes.
ALLOWED = {"chart": 1.5, "server": 2.0}
ALLOWED_BYTES = 3.5e6
USUAL_ROUNDS, WARM_UP = 20, 3
WISHED_SLIDER = "seq"  # tokens per sequence: nearly every page has it
QUIET = 300  # milliseconds without a change: the chart is done
REST = 3000  # milliseconds after which everything that follows a move is done
CHART = ".js-plotly-plot"

EMPTY_PAGE = """
import streamlit as st
import drawn
from memcalc.ui.serve import lifespan, middleware

def main():
    st.set_page_config(layout="wide")
    rungs, figures, config = drawn.PAGES[st.query_params["of"]]
    rung = st.select_slider("slider", rungs, key="KEY")
    st.plotly_chart(figures[rung], key="chart", config=config)

if __name__ == "__main__":
    main()
else:
    app = st.App(__file__, middleware=middleware(), lifespan=lifespan)
""".replace("KEY", WISHED_SLIDER)

DRAWN = """
import json, pathlib

def _read(page):
    return page["rungs"], dict(zip(page["rungs"], page["figures"])), page["config"]

PAGES = {name: _read(page) for name, page in json.loads(
    pathlib.Path(__file__).with_name("drawn.json").read_text()).items()}
"""

WATCH = f"""
() => {{
  window.pressed = 0; window.changed = 0;
  document.addEventListener('keydown', () => {{ window.pressed = performance.now(); window.changed = 0; }}, true);
  new MutationObserver(records => {{
    const chart = document.querySelector('{CHART}');
    if (chart && records.some(record => chart.contains(record.target) && record.target.closest('svg')))
      window.changed = performance.now();
  }}).observe(document.body, {{subtree: true, childList: true, attributes: true}});
}}
"""


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used, to the nanosecond (Linux: clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


@dataclass
class Subject:
    """One page of the dashboard, its empty twin's charts, and what was measured of both."""

    page: Page
    slider: str
    rungs: list[Any]
    figures: list[dict[str, Any]]
    config: dict[str, Any]
    chart: dict[str, list[float]] = field(default_factory=lambda: {"empty": [], "dashboard": []})
    server: dict[str, list[float]] = field(default_factory=lambda: {"empty": [], "dashboard": []})
    settled: dict[str, list[float]] = field(default_factory=lambda: {"empty": [], "dashboard": []})
    browser: dict[str, list[float]] = field(default_factory=lambda: {"empty": [], "dashboard": []})
    first_visit: int = 0

    def ratio(self, what: str) -> float:
        found = getattr(self, what)
        return statistics.median(found["dashboard"]) / statistics.median(found["empty"])

    def row(self) -> str:
        cells = []
        for what in ("chart", "server", "settled", "browser"):
            found = getattr(self, what)
            cells += [f"{statistics.median(found[who]):.0f} ms" for who in found] + [f"**{self.ratio(what):.2f}**"]
        return f"| {self.page.title} | {' | '.join(cells)} | {self.first_visit / 1e6:.2f} MB |"


def subject(page: Page) -> Subject | None:
    """What a page draws for each value of its slider; None for a page without slider and chart."""
    from streamlit.testing.v1 import AppTest

    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    if not page.default:
        test = test.switch_page(page.file).run()
    if not test.select_slider or not test.get("plotly_chart"):
        return None
    key = next((one.key for one in test.select_slider if one.key == WISHED_SLIDER), test.select_slider[0].key)
    options, figures = list(test.select_slider(key).options), []
    for option in options:
        slider = test.select_slider(key)
        test = slider.set_value(int(option) if isinstance(slider.value, int) else option).run()
        figures.append(json.loads(test.get("plotly_chart")[0].proto.spec))
    config = json.loads(test.get("plotly_chart")[0].proto.config)
    return Subject(page, key, options, figures, config)


@contextlib.contextmanager
def serving(subjects: list[Subject]) -> Iterator[dict[str, Server]]:
    """The dashboard, and one server of empty pages."""
    folder = Path(tempfile.mkdtemp())
    drawn = {one.page.path: {"rungs": one.rungs, "figures": one.figures, "config": one.config} for one in subjects}
    (folder / "drawn.json").write_text(json.dumps(drawn))
    (folder / "drawn.py").write_text(DRAWN)
    (folder / "empty.py").write_text(EMPTY_PAGE)
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    os.environ["PYTHONPATH"] = str(ROOT)
    servers = {"empty": Server(folder / "empty.py"), "dashboard": Server(ROOT / "app.py")}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def address(one: Subject, who: str) -> str:
    return one.page.path if who == "dashboard" else "/?of=" + quote(one.page.path, safe="")


def press(page: Any, key: str) -> float:
    """Milliseconds from one key to the chart's last change."""
    page.keyboard.press(key)
    page.wait_for_function(
        f"window.changed > window.pressed && performance.now() - window.changed > {QUIET}", timeout=20_000
    )
    return float(page.evaluate("window.changed - window.pressed"))


def first_visit(browser: Any, url: str) -> int:
    """Bytes over the wire until the chart of a new visitor stands, the socket's included."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    received: list[float] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame))))
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(url)
    page.wait_for_selector(CHART + " svg", state="attached", timeout=60_000)
    page.wait_for_timeout(2500)
    context.close()
    return int(sum(received))


def measure(one: Subject, servers: dict[str, Server], browser: Any, rounds: int) -> None:
    """Move both sliders in turn, and note what each move took."""
    tabs: dict[str, Any] = {}
    for who, server in servers.items():
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(server.url + address(one, who))
        page.wait_for_selector(CHART + " svg", state="attached", timeout=60_000)
        page.wait_for_timeout(1500)
        page.evaluate(WATCH)
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})  # not the clock on the wall
        tabs[who] = page, session
        focus(page, one.slider if who == "dashboard" else WISHED_SLIDER)
        page.keyboard.press("End")
        page.wait_for_timeout(1000)
        press(page, "Home")
    for turn in range(min(rounds + WARM_UP, len(one.rungs) - 1)):
        for who, (page, session) in tabs.items():
            page.bring_to_front()
            focus(page, one.slider if who == "dashboard" else WISHED_SLIDER)
            page.wait_for_timeout(100)
            served, worked = processor_time(servers[who].process.pid), tasks(session)
            taken = press(page, "ArrowRight")  # a value not seen before: nothing is remembered
            if turn >= WARM_UP:
                one.chart[who].append(taken)
                one.server[who].append(1000 * (processor_time(servers[who].process.pid) - served))
                one.browser[who].append(1000 * (tasks(session) - worked))
            page.wait_for_timeout(REST)
            if turn >= WARM_UP:
                one.settled[who].append(1000 * (processor_time(servers[who].process.pid) - served))
    for page, _ in tabs.values():
        page.context.close()


def focus(page: Any, key: str) -> None:
    page.locator(f".st-key-{key} [role=slider], .st-key-{key} input[type=range]").first.focus()


def tasks(session: Any) -> float:
    """Seconds of processor time that the page's own thread of the browser has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def main() -> int:
    from playwright.sync_api import sync_playwright

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else USUAL_ROUNDS
    wanted = sys.argv[2:]
    subjects = [one for page in pages() if not wanted or page.title in wanted if (one := subject(page))]
    print("| page | slider to chart: empty | dashboard | ratio | server: empty | dashboard | ratio "
          "| server, with what follows at rest: empty | dashboard | ratio "
          "| browser: empty | dashboard | ratio | first visit |\n" + "|---" * 14 + "|")  # fmt: skip
    good = True
    with serving(subjects) as servers, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for one in subjects:
            one.first_visit = first_visit(browser, servers["dashboard"].url + one.page.path)
            measure(one, servers, browser, rounds)
            print(one.row(), flush=True)
            good &= one.first_visit < ALLOWED_BYTES and all(one.ratio(what) <= most for what, most in ALLOWED.items())
        browser.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
