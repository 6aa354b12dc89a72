"""A page of the dashboard opened without a browser, and what it draws."""

from __future__ import annotations

import json
import re

from streamlit.testing.v1 import AppTest

SLOW = 60  # seconds; a busy machine


def opened(place: str, **query: str) -> AppTest:
    """The page whose file is ``place``, opened with a link."""
    test = AppTest.from_file("../app.py", default_timeout=SLOW)
    test.switch_page(place)
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def bars(test: AppTest) -> dict[str, list[float]]:
    """Lengths (GiB) of the only chart's bars, by component."""
    (chart,) = test.get("plotly_chart")
    return {one["name"]: one["x"] for one in json.loads(chart.proto.spec)["data"] if one["type"] == "bar"}


def html(test: AppTest, start: str) -> str:
    """The words of the only block of HTML that begins with ``start``."""
    (shown,) = [one.proto.body for one in test.get("html") if one.proto.body.startswith(start)]
    return re.sub("<.*?>", " ", shown)
