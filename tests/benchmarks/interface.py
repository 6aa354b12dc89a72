"""How much slower is the dashboard than an empty Streamlit page with an equally large chart?

    python tests/benchmarks/interface.py [rounds, at most 17]

Starts two servers with the same settings: the dashboard, and a page of one slider and one chart of as
many bars, labels and lines. In each, a slider is moved by keyboard in headless Chromium, in turn, and
two things are measured: milliseconds from the key to the chart's last change (in the browser, by its own
clock), and processor time of the server per move. Ratios are what counts; both run on the same machine,
at the same time of day, in the same run. Needs Chromium and the packages of the extra ``dev``.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from conftest import ARGUMENTS, BARS, Server, chromium  # noqa: E402

import memcalc  # noqa: E402
from memcalc.ui import figures, ledger  # noqa: E402
from memcalc.ui.options import LENGTHS  # noqa: E402
from memcalc.ui.state import Settings  # noqa: E402

#: Most that the dashboard may take, as a multiple of the empty page.
ALLOWED = {"slider to chart": 1.5, "server": 2.0}
WARM_UP = 3
MOST = len(LENGTHS) - 1 - WARM_UP  # a slider has no more steps
SLIDER = ".st-key-seq [role=slider], .st-key-seq input[type=range]"
QUIET = 450  # milliseconds without a change: the chart is done

EMPTY_PAGE = """
import json, pathlib
import streamlit as st
from memcalc.ui.options import LENGTHS
from memcalc.ui.serve import lifespan, middleware

def main():
    st.set_page_config(layout="wide")
    seq = st.select_slider("seq", LENGTHS, value=2048, key="seq")
    figure = json.loads(pathlib.Path(__file__).with_name("figure.json").read_text())
    for trace in figure["data"]:
        trace["x"] = [x * (1 + seq / 1e5) for x in trace["x"]]
    st.plotly_chart(figure, key="phases", config={"displayModeBar": False})

if __name__ == "__main__":
    main()
else:
    app = st.App(__file__, middleware=middleware(), lifespan=lifespan)
"""

WATCH = """
() => {
  window.pressed = 0; window.changed = 0;
  document.addEventListener('keydown', () => { window.pressed = performance.now(); window.changed = 0; }, true);
  new MutationObserver(records => {
    if (records.some(record => record.target.closest && record.target.closest('.barlayer')))
      window.changed = performance.now();
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}
"""


def processor_time(pid: int) -> float:
    """Seconds of processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figure() -> dict[str, Any]:
    """The dashboard's own chart, for the empty page to redraw."""
    settings = Settings()
    runs = [
        ledger.run(title, memcalc.estimate(scenario).as_dict())
        for title, scenario in (("Training", settings.training()), ("Inference", settings.inference()))
    ]
    return figures.phase_bars(runs, "card", 16 * 2**30)


def press(page: Any, key: str) -> float:
    """Milliseconds from one key to the chart's last change."""
    page.keyboard.press(key)
    page.wait_for_function(
        f"window.changed > window.pressed && performance.now() - window.changed > {QUIET}", timeout=20_000
    )
    return float(page.evaluate("window.changed - window.pressed"))


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Medians of both pages: milliseconds from slider to chart, and milliseconds of the server's processor."""
    from playwright.sync_api import sync_playwright

    folder = Path(tempfile.mkdtemp())
    (folder / "figure.json").write_text(json.dumps(figure()))
    (folder / "empty.py").write_text(EMPTY_PAGE)
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    os.environ["PYTHONPATH"] = str(ROOT)
    servers = {"empty": Server(folder / "empty.py"), "dashboard": Server(ROOT / "app.py")}
    times: dict[str, list[float]] = {name: [] for name in servers}
    spent = dict.fromkeys(servers, 0.0)
    try:
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            pages = {}
            for name, server in servers.items():
                page = pages[name] = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(server.url)
                page.wait_for_selector(BARS, state="attached", timeout=60_000)
                page.wait_for_timeout(1500)
                page.evaluate(WATCH)
                page.locator(SLIDER).first.focus()
                press(page, "Home")
            for turn in range(rounds + WARM_UP):
                for name, page in pages.items():
                    page.bring_to_front()
                    page.locator(SLIDER).first.focus()
                    before = processor_time(servers[name].process.pid)
                    taken = press(page, "ArrowRight")  # a value not seen before: nothing is remembered
                    if turn >= WARM_UP:
                        times[name].append(taken)
                        spent[name] += processor_time(servers[name].process.pid) - before
            browser.close()
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "slider to chart": {name: statistics.median(values) for name, values in times.items()},
        "server": {name: 1000 * seconds / rounds for name, seconds in spent.items()},
    }


def main() -> int:
    rounds = min(int(sys.argv[1]) if len(sys.argv) > 1 else MOST, MOST)
    worst = 0
    print(f"{'':18}{'empty':>10}{'dashboard':>12}{'ratio':>8}{'allowed':>9}")
    for name, found in measure(rounds).items():
        ratio = found["dashboard"] / found["empty"]
        worst |= ratio > ALLOWED[name]
        print(f"{name:18}{found['empty']:7.0f} ms{found['dashboard']:9.0f} ms{ratio:8.2f}{ALLOWED[name]:9.1f}")
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
