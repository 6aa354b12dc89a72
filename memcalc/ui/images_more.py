"""Below the answer of the page Images: what would make it fit, the parts, the code. No Streamlit in here."""

from __future__ import annotations

import json
from functools import lru_cache
from html import escape

import memcalc
from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.ui.form import Json, get, put
from memcalc.ui.images_settings import SIDES
from memcalc.ui.ledger import Run
from memcalc.ui.markup import size

MOST_IMAGES = 256
"""More pictures at once are not looked for."""


def _high(asked: Json) -> int | None:
    """The high end of what a scenario needs on the card, in bytes; None for what the core refuses."""
    try:
        return int(memcalc.estimate(asked, allow_files=False).range["device"][1])
    except MemcalcError:
        return None


def _fits(asked: Json, limit: int) -> bool:
    high = _high(asked)
    return high is not None and high <= limit


@lru_cache(maxsize=512)
def _most(asked: str, limit: int) -> tuple[int, int]:
    """The most pictures at once, and the side of the largest square picture (of those that the page offers), whose
    high end stays within ``limit`` bytes; 0: none."""
    scenario = json.loads(asked)
    low, high = 0, MOST_IMAGES + 1
    while high - low > 1:  # memory grows with the number of pictures
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(put(scenario, "inference.images", middle), limit) else (low, middle)
    sides = [one for one in SIDES if _fits(_square(scenario, one), limit)]
    return low, max(sides, default=0)


def _square(scenario: Json, side: int) -> Json:
    return put(put(scenario, "inference.width", side), "inference.height", side)


def room(scenario: Json, run: Run) -> tuple[int, int] | None:
    """``_most`` for the run's card; None without one."""
    fit = run.estimate.get("fit")
    if not fit:
        return None
    asked = {key: one for key, one in scenario.items() if key != "hardware"}
    gpu = str(get(scenario, "hardware.gpu") or "")
    if gpu and not gpu.startswith("live:"):
        asked["hardware"] = {"gpu": gpu}
    return _most(json.dumps(asked, sort_keys=True), int(fit["capacity"]) - int(fit["reserve"]))


def facts(scenario: Json, run: Run) -> str:
    """What the picture is made of, and what would still fit, as a row of figures in HTML."""
    report = run.estimate["runtime"]
    width, height = (int(get(run.estimate["scenario"], f"inference.{name}")) for name in ("width", "height"))
    listed = [
        ("Picture", f"{width:,} × {height:,}", f"{width * height / 1e6:.2f} megapixels"),
        ("Latents denoised at once", f"{report['latents']:,}", _twice(run)),
        ("Weights of all parts", units.binary(report["weights"]), "on the card or in the computer's memory"),
    ]
    found = room(scenario, run)
    if found is not None:
        images, side = found
        more = "≥ " if images == MOST_IMAGES else ""
        listed.append(("Pictures at once that fit", f"{more}{images:,}" if images else "none", "all else as it is"))
        end = "≥ " if side == SIDES[-1] else ""
        listed.append(
            ("Largest square that fits", f"{end}{side:,} × {side:,}" if side else "none", "all else as it is")
        )
    cards = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(figure)}<small>{escape(more)}</small></dd></div>"
        for what, figure, more in listed
    )
    return f'<dl class="mc-facts">{cards}</dl>'


def _twice(run: Run) -> str:
    """What guidance has to do with it."""
    guidance = get(run.estimate["scenario"], "inference.guidance")
    return {None: "guidance doubles nothing", True: "guidance takes each twice", False: "no guidance"}[guidance]


def parts_table(run: Run) -> str:
    """The pipeline's models: parameters, format, bytes, and when they run. As HTML; everything in it is escaped."""
    report = run.estimate["runtime"]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(units.count(one["parameters"]))}</td>'
        f"<td>{escape(one['format'])}</td><td>{size(one['bytes'])}</td><td>{escape(one['phase'])}</td></tr>"
        for name, one in report["parts"].items()
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("parameters", "format", "weights", "phase"))
    total = units.count(run.estimate["parameters"]["total"])
    return (
        '<div class="mc-compare"><table><caption><b>The parts</b>, each a model of its own</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}"
        f'<tr><th scope="row">all</th><td>{total}</td><td></td><td>{size(report["weights"])}</td><td></td></tr>'
        "</tbody></table></div>"
    )
