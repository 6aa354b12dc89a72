"""The sweep as a picture: a heat map with each card's frontier, or curves. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memcalc import units
from memcalc.solve.grid import REFUSED, Map
from memcalc.ui.colours import COLOURS, LABELS, LINE

#: One hue, light to dark, that can be told apart in grey: memory from little to much.
SCALE = ((0.0, "#E8F1FB"), (0.35, "#9CC3EA"), (0.7, "#4478BE"), (1.0, "#1B2F6B"))
#: Frontiers: all in the page's own colour, told apart by their dashes and names.
DASHES = ("solid", "dash", "dot", "dashdot")
MOST_CARDS = len(DASHES)
MOST_CURVES = 8
CELL = 30  # pixels a row
#: How many times the largest card the map shows at most, and the fewest columns and rows.
BEYOND, FEWEST = 4, 6
_CURVES = tuple(COLOURS.values())


@dataclass(frozen=True)
class Limit:
    """A card on the map: its name and the bytes that a process may take."""

    name: str
    bytes: int


Point = tuple[int, int]


def fits(found: Map, limit: Limit) -> NDArray[np.bool_]:
    """Where the high end of the range is within the limit."""
    return (found.high != REFUSED) & (found.high <= limit.bytes)


def near(found: Map, limits: Sequence[Limit], now: Point | None) -> Point:
    """How many rows and columns of the map are shown: those before the far ones, on which everything is BEYOND times
    the largest card and more. The current point and the first FEWEST stay, and all values that are no numbers."""
    rows, columns = found.point.shape
    if not limits:
        return rows, columns
    top = BEYOND * max(one.bytes for one in limits)
    close = (found.point != REFUSED) & (found.point <= top)
    if found.y.numeric:
        rows = _kept(close.any(axis=1), now[0] if now else 0)
    if found.x.numeric:
        columns = _kept(close.any(axis=0), now[1] if now else 0)
    return rows, columns


def cut(found: Map, shape: Point) -> Map:
    """The map's first rows and columns."""
    rows, columns = shape
    parts = found.components
    return replace(
        found,
        xs=found.xs[:columns],
        ys=found.ys[:rows],
        low=found.low[:rows, :columns],
        point=found.point[:rows, :columns],
        high=found.high[:rows, :columns],
        components=None if parts is None else {name: one[:rows, :columns] for name, one in parts.items()},
    )


def _kept(close: NDArray[np.bool_], now: int) -> int:
    return min(len(close), 1 + max([now, FEWEST - 1, *np.flatnonzero(close).tolist()]))


def border(inside: NDArray[np.bool_]) -> tuple[list[float | None], list[float | None]]:
    """The lines between cells inside and outside, as one broken line (cells are 1 wide, centred on whole numbers).

    >>> border(np.array([[True, False]]))
    ([0.5, 0.5, None], [-0.5, 0.5, None])
    """
    xs: list[float | None] = []
    ys: list[float | None] = []
    rows, columns = inside.shape
    for i in range(rows):
        for j in range(columns):
            if j + 1 < columns and inside[i, j] != inside[i, j + 1]:
                xs += [j + 0.5, j + 0.5, None]
                ys += [i - 0.5, i + 0.5, None]
            if i + 1 < rows and inside[i, j] != inside[i + 1, j]:
                xs += [j - 0.5, j + 0.5, None]
                ys += [i + 0.5, i + 0.5, None]
    return xs, ys


def _parts(found: Map) -> list[str]:
    """The components that are not zero everywhere on the map."""
    return [name for name, sizes in (found.components or {}).items() if (sizes[found.point != REFUSED] > 0).any()]


def hover(found: Map, limits: Sequence[Limit], row: int = 0) -> str:
    """What is said of a point: what it needs, of what, and on which cards. The words that all points share, with holes
    for ``said_of``: written out for each they would be three quarters of all that the map sends. The values of a point
    begin at place ``row`` of its customdata."""
    holes = iter(range(row, 99))

    def hole() -> str:
        return f"%{{customdata[{next(holes)}]}}"

    lines = [f"<b>{found.x.title} {hole()}, {found.y.title} {hole()}</b>", f"{hole()}, at worst {hole()}"]
    lines += [f"{LABELS.get(name, name)}: {hole()}" for name in _parts(found)]
    lines += [f"{hole()} the {limit.name}" for limit in limits]
    return "<br>".join(lines) + "<extra></extra>"


def said_of(found: Map, i: int, j: int, limits: Sequence[Limit]) -> list[str]:
    """A point's own values, in the order of the holes in ``hover``."""
    low, high = int(found.low[i, j]), int(found.high[i, j])
    parts = [int(found.components[name][i, j]) for name in _parts(found)] if found.components else []
    return [
        found.x.name(found.xs[j]),
        found.y.name(found.ys[i]),
        units.both(int(found.point[i, j])),
        units.binary(high),
        *("none" if part <= 0 else units.binary(part) for part in parts),
        *("fits" if high <= one.bytes else "does not fit" if low > one.bytes else "is tight on" for one in limits),
    ]


def marked(figure: dict[str, Any], now: Point) -> dict[str, Any]:
    """The map with a cross on the current scenario (row, column), under the squares that are hovered and clicked."""
    *below, squares = figure["data"]
    cross = {
        "type": "scatter", "mode": "markers", "x": [now[1]], "y": [now[0]], "name": "now", "hoverinfo": "skip",
        "marker": {"symbol": "x", "size": 13, "color": "#FFFFFF", "line": {"color": "#10151C", "width": 2}},
    }  # fmt: skip
    return {**figure, "data": [*below, cross, squares]}


def heat_map(found: Map, limits: Sequence[Limit]) -> dict[str, Any]:
    """The map: colour is memory, lines are the cards' frontiers. The cells themselves can be neither hovered nor
    clicked as Streamlit knows it; invisible squares over them can."""
    rows, columns = found.point.shape
    sizes = np.where(found.point == REFUSED, np.nan, found.point / units.GiB)
    logs = np.log2(sizes, where=~np.isnan(sizes), out=np.full(sizes.shape, np.nan))
    bottom, top = (0.0, 1.0) if np.isnan(logs).all() else (float(np.nanmin(logs)), float(np.nanmax(logs)))
    if limits:  # far beyond every card all points are alike
        top = max(bottom + 1, min(top, float(np.log2(BEYOND * max(one.bytes for one in limits) / units.GiB))))
    ticks = _ticks(bottom, top)
    places = [(i, j) for i in range(rows) for j in range(columns)]
    data: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "z": [[None if np.isnan(one) else round(float(one), 4) for one in row] for row in logs],
            "colorscale": [list(one) for one in SCALE],
            "zmax": top,
            "zmin": bottom,
            "hoverinfo": "skip",
            "xgap": 1,
            "ygap": 1,
            "colorbar": {
                "title": {"text": "GiB"},
                "tickvals": ticks,
                "ticktext": [f"{2.0**tick:g}" for tick in ticks],
                "thickness": 12,
                "len": 0.9,
            },
        }
    ]
    for limit, dash in zip(limits, DASHES, strict=False):
        xs, ys = border(fits(found, limit))
        data.append(
            {"type": "scatter", "mode": "lines", "x": xs, "y": ys, "name": limit.name, "hoverinfo": "skip",
             "line": {"color": "#D1335B", "width": 3, "dash": dash}, "showlegend": True}
        )  # fmt: skip
    impossible = [(i, j) for i, j in places if found.point[i, j] == REFUSED]
    if impossible:
        said = [[found.x.name(found.xs[j]), found.y.name(found.ys[i])] for i, j in impossible]
        told = f"<b>{found.x.title} %{{customdata[0]}}, {found.y.title} %{{customdata[1]}}</b><br>not possible"
        data.append(_squares(impossible, said, f"{told}<extra></extra>"))
    possible = [(i, j) for i, j in places if found.point[i, j] != REFUSED]
    data.append(_squares(possible, [said_of(found, i, j, limits) for i, j in possible], hover(found, limits)))
    return {
        "data": data,
        "layout": {
            "height": max(260, rows * CELL + 130),
            "margin": {"l": 96, "r": 8, "t": 40, "b": 76},
            "xaxis": _axis([found.x.name(one) for one in found.xs], found.x.title, columns),
            "yaxis": _axis([found.y.name(one) for one in found.ys], found.y.title, rows),
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
            "hovermode": "closest",
            "hoverlabel": {"align": "left"},
            "dragmode": False,
            "clickmode": "event+select",
        },
    }


def _squares(places: list[Point], said: list[list[str]], words: str) -> dict[str, Any]:
    """Invisible squares over cells, to be hovered and clicked."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [j for _, j in places],
        "y": [i for i, _ in places],
        "customdata": said,
        "hovertemplate": words,
        "showlegend": False,
        "marker": {"symbol": "square", "size": CELL - 2, "opacity": 0, "color": LINE},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
    }


def _axis(names: list[str], title: str, count: int) -> dict[str, Any]:
    return {
        "tickvals": list(range(count)),
        "ticktext": names,
        "title": {"text": title},
        "range": [-0.5, count - 0.5],
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
    }


def _ticks(low: float, high: float) -> list[float]:
    """Whole powers of two between the ends, at most seven."""
    first, last = int(np.ceil(low)), int(np.floor(high))
    step = max(1, (last - first) // 6 + 1)
    return [float(one) for one in range(first, last + 1, step)]


def curves(found: Map, limits: Sequence[Limit]) -> dict[str, Any]:
    """A curve for each value of the second field (at most MOST_CURVES, spread over them), over the first."""
    picked = sorted({round(one) for one in np.linspace(0, len(found.ys) - 1, min(MOST_CURVES, len(found.ys)))})
    data: list[dict[str, Any]] = []
    for order, i in enumerate(picked):
        places = [j for j in range(len(found.xs)) if found.point[i, j] != REFUSED]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": places,
                "y": [units.gib(int(found.point[i, j])) for j in places],
                "name": f"{found.y.name(found.ys[i])}",
                "hovertemplate": hover(found, limits, 1),
                "customdata": [[i, *said_of(found, i, j, limits)] for j in places],
                "line": {"color": _CURVES[order % len(_CURVES)], "width": 2.5},
                "marker": {"size": 8, "symbol": order},
            }
        )
    shapes, notes = [], []
    for limit, dash in zip(limits, DASHES, strict=False):
        level = units.gib(limit.bytes)
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level,
                       "line": {"color": LINE, "width": 2.5, "dash": dash}})  # fmt: skip
        notes.append({"xref": "paper", "x": 0, "y": np.log10(level), "text": limit.name, "showarrow": False,
                      "xanchor": "left", "yanchor": "bottom"})  # fmt: skip
    return {
        "data": data,
        "layout": {
            "height": 460,
            "margin": {"l": 64, "r": 8, "t": 40, "b": 76},
            "xaxis": _axis([found.x.name(one) for one in found.xs], found.x.title, len(found.xs)),
            "yaxis": {
                "type": "log",
                "title": {"text": "GiB on the card"},
                "fixedrange": True,
                "tickvals": [2.0**power for power in range(-3, 17)],
                "ticktext": [f"{2.0**power:g}" for power in range(-3, 17)],
            },
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "title": {"text": found.y.title}},
            "shapes": shapes,
            "annotations": notes,
            "hovermode": "closest",
            "dragmode": False,
            "clickmode": "event+select",
        },
    }


def words(found: Map, limits: Sequence[Limit]) -> str:
    """The map in words: on each card, how far each column goes."""
    said = []
    for limit in limits:
        inside = fits(found, limit)
        columns = []
        for j, x in enumerate(found.xs):
            rows = [i for i in range(len(found.ys)) if inside[i, j]]
            if rows and found.y.numeric:
                columns.append(f"{found.x.name(x)}: up to {found.y.name(found.ys[max(rows)])}")
            elif rows:
                columns.append(f"{found.x.name(x)}: {', '.join(found.y.name(found.ys[i]) for i in rows)}")
        listed = "; ".join(columns)
        most = f"{found.y.title} for each value of {found.x.title}: {listed}" if listed else "nothing on this map"
        said.append(f"On the {limit.name} fit, {most}.")
    known = found.point[found.point != REFUSED]
    if known.size:
        said.append(f"The map goes from {units.binary(int(known.min()))} to {units.binary(int(known.max()))}.")
    return " ".join(said)
