"""The timeline's two charts: live memory step by step, and the tensors of its highest instant as a treemap."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import Any

from memcalc import units
from memcalc.ui.colours import COLOURS, COMPONENTS, LABELS, LINE, OVERHEAD, ink
from memcalc.ui.ledger import PHASE_LABELS
from memcalc.ui.timeline_bands import Band, Step, Strip
from memcalc.ui.timeline_tensors import Row, size

HEIGHT = 460
#: Pixels over the chart: for the names of the steps, and for that of the card's line.
TURNS, ROW = 28, 24
#: The treemap is as high as its number of tiles needs: (tiles at most, pixels).
MAP_HEIGHTS = ((2, 110), (6, 220), (1000, 380))
#: A card that holds more than this many times the peak gets a word at the top instead of its line.
FAR = 3.0
#: Tiles of the treemap; the rest of a component shares one.
TILES = 14


def _head(band: Band, step: Step, task: str) -> str:
    """The hover's first line and last: where, and how much in all."""
    turn = {1: ", first step"}.get(band.step, ", later steps") if task == "train" and band.step else ""
    phase = PHASE_LABELS.get(band.phase, band.phase).split(" (")[0]
    same = step.label in (band.phase, phase)
    place = f"<b>{escape(phase if same else f'{phase}: {step.label}')}</b>{turn}"
    return f"{place}<br>in all {units.both(step.total)}"


def _layer(part: str, strip: Strip, heads: list[str], chosen: str) -> dict[str, Any]:
    """One component over all steps."""
    steps = strip.steps
    sizes = [step.parts.get(part, 0) for step in steps]
    plain = {"marker": {"opacity": 1 if chosen in ("", part) else 0.35}}
    return {
        "type": "bar",
        "name": LABELS[part],
        "legendgroup": LABELS[part],  # how a click says which layer it met
        "x": [round(step.middle, 4) for step in steps],
        "width": [round(step.width, 4) for step in steps],
        "y": [round(units.gib(one), 4) if one else None for one in sizes],
        "marker": {"color": COLOURS[part], "line": {"width": 0}, **plain["marker"]},
        "text": [units.both(one) if one else "" for one in sizes],
        "textposition": "none",
        "customdata": heads,
        "hovertemplate": f"%{{customdata}}<br><b>{LABELS[part]}</b> %{{text}}<extra></extra>",
        "selected": plain,
        "unselected": plain,
    }


def _names(strip: Strip, axis: float, parts: list[str]) -> dict[str, Any]:
    """Each component's name where its layer is widest, if there is room for it."""
    spots = [spot for part in parts if (spot := _spot(strip, part, axis))]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [x for _, x, _ in spots],
        "y": [y for _, _, y in spots],
        "text": [LABELS[part] for part, _, _ in spots],
        "textfont": {"color": [ink(COLOURS[part]) for part, _, _ in spots], "size": 12.5},
        "hoverinfo": "skip",
    }


def _spot(strip: Strip, part: str, axis: float) -> tuple[str, float, float] | None:
    """The middle of the widest stretch where a line of text stays inside the layer of ``part``."""
    steps = strip.steps
    order = strip.parts
    edges = {id(band.steps[0]) for band in strip.bands}
    below = order[: order.index(part)]
    floors = [units.gib(sum(step.parts.get(one, 0) for one in below)) for step in steps]
    tops = [floor + units.gib(step.parts.get(part, 0)) for floor, step in zip(floors, steps, strict=True)]
    half, best = axis * 0.027, (0.0, 0.0, 0.0)
    for i in range(len(steps)):
        y = (floors[i] + tops[i]) / 2
        if tops[i] - floors[i] < 2 * half:
            continue
        low = high = i
        while id(steps[low]) not in edges and floors[low - 1] <= y - half and tops[low - 1] >= y + half:
            low -= 1
        while (
            high + 1 < len(steps)
            and id(steps[high + 1]) not in edges
            and floors[high + 1] <= y - half
            and tops[high + 1] >= y + half
        ):
            high += 1
        left, right = steps[low].left, steps[high].left + steps[high].width
        if right - left > best[0] + 1e-9:
            best = (right - left, (left + right) / 2, y)
    needed = 0.0075 * (len(LABELS[part]) + 2) * strip.right
    return (part, round(best[1], 3), round(best[2], 4)) if best[0] >= needed else None


def _note(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "showarrow": False, "font": {"size": 13}, "align": "left", **more}


def card_line(card: str, capacity: int, axis: float, above: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The card's line across the chart, and its name in a row of its own, ``above`` pixels over the chart, where
    it covers neither layers nor their names. A line that would be far above the chart is only named."""
    at = units.gib(capacity)
    sign, far = ("━", "") if at <= axis else ("↑", ", above this chart")
    text = f"{sign} <b>{escape(card)}</b>: {units.binary(capacity)}{far}"
    note = _note(text, x=0, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", yshift=above)
    line = {
        "type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": at, "y1": at, "line": {"color": LINE, "width": 2.5}
    }  # fmt: skip
    return [line] if at <= axis else [], note


def _peak(strip: Strip, axis: float) -> dict[str, Any]:
    """The highest instant, marked and named."""
    _, step = strip.peak
    share = step.middle / strip.right
    anchor = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    return {
        "text": f"<b>highest: {units.binary(step.total)}</b>",
        "x": step.middle, "y": units.gib(step.total), "xanchor": anchor, "yanchor": "bottom",
        "showarrow": True, "arrowhead": 2, "arrowwidth": 1.5, "arrowcolor": LINE, "ax": 0, "ay": -22,
        "font": {"size": 13.5}, "bgcolor": "#FFFFFF", "borderpad": 1,
    }  # fmt: skip


def steps_chart(strip: Strip, chosen: str = "", card: str = "", capacity: int | None = None) -> dict[str, Any]:
    """Live memory by phase and block, stacked by component, against the card's line."""
    _, top = strip.peak
    highest = max(top.total, capacity if capacity and capacity <= FAR * top.total else 0)
    axis = units.gib(highest) * 1.17
    heads = [_head(band, step, strip.task) for band in strip.bands for step in band.steps]
    parts = strip.parts
    shapes: list[dict[str, Any]] = []
    notes = [_peak(strip, axis)]
    if capacity:
        shapes, note = card_line(card, capacity, axis, TURNS if strip.turns else 4)
        notes.insert(0, note)
    for name, left, right in strip.turns:
        notes.append(_note(f"<b>{name}</b>", x=(left + right) / 2, y=1, yref="paper", yanchor="bottom", yshift=4))
        shapes.append(_rule(left, right, 1))
    shapes += [_rule(band.left, band.right, 0) for band in strip.bands]
    return {
        "data": [_layer(part, strip, heads, chosen) for part in parts] + [_names(strip, axis, parts)],
        "layout": {
            "barmode": "stack",
            "bargap": 0,
            "height": HEIGHT,
            "margin": {"l": 44, "r": 6, "t": (TURNS if strip.turns else 6) + (ROW if capacity else 4), "b": 30},
            "showlegend": False,
            "xaxis": {
                "range": [-0.05, strip.right + 0.05],
                "tickvals": [(band.left + band.right) / 2 for band in strip.bands],
                "ticktext": [band.title for band in strip.bands],
                "fixedrange": True,
                "showgrid": False,
                "zeroline": False,
                "ticks": "",
                "automargin": True,
                "autotickangles": [0, 90],
            },
            "yaxis": {
                "range": [0, axis],
                "fixedrange": True,
                "title": {"text": "GiB on the card", "standoff": 4},
                "nticks": 7,
                "zeroline": False,
                "automargin": True,
            },
            "shapes": shapes,
            "annotations": notes,
            "hoverlabel": {"align": "left", "font": {"size": 13}},
            "hovermode": "closest",
            "dragmode": False,
        },
    }


def _rule(left: float, right: float, edge: int) -> dict[str, Any]:
    """A bracket under a phase, or over a step."""
    return {
        "type": "line", "x0": left + 0.03, "x1": right - 0.03, "y0": edge, "y1": edge, "yref": "paper",
        "line": {"color": LINE, "width": 2 if edge == 0 else 1.2},
    }  # fmt: skip


def tensor_map(listed: list[Row]) -> dict[str, Any]:
    """The rows as tiles, the area as large as the memory; small ones of a component share a tile."""
    parts = [part for part in (*COMPONENTS, OVERHEAD) if any(row.component == part for row in listed)]
    tiles: list[tuple[str, str, str, int, str]] = []  # id, label, parent, bytes, hover
    colours = []
    for part in parts:
        own = [row for row in listed if row.component == part]
        total = sum(row.total for row in own)
        if len(parts) > 1:
            tiles.append(
                (part, f"{LABELS[part]}  {units.binary(total)}", "", total, f"{LABELS[part]}: {units.both(total)}")
            )
            colours.append(COLOURS[part])
        parent = part if len(parts) > 1 else ""
        for k, row in enumerate(own[:TILES]):
            tiles.append((f"{part}{k}", _tile(row), parent, row.total, _hover(row)))
        rest = sum(row.total for row in own[TILES:])
        if rest:
            more = f"{len(own) - TILES} smaller ones"
            tiles.append((f"{part}rest", more, parent, rest, f"{more}: {units.both(rest)}"))
        colours += [COLOURS[part]] * (min(len(own), TILES) + bool(rest))
    ids, labels, parents, values, hovers = (list(column) for column in zip(*tiles, strict=True))
    return {
        "data": [
            {
                "type": "treemap",
                "ids": ids,
                "labels": labels,
                "parents": parents,
                "values": values,
                "branchvalues": "total",
                "customdata": hovers,
                "texttemplate": "%{label}",
                "hovertemplate": "%{customdata}<extra></extra>",
                "marker": {
                    "colors": colours,
                    "line": {"color": "#FFFFFF", "width": 1.2},
                    "pad": {"t": 24, "l": 2, "r": 2, "b": 2},
                },
                "textfont": {"color": [ink(colour) for colour in colours], "size": 12.5},
                "tiling": {"pad": 1},
                "pathbar": {"visible": False},
                "sort": True,
            }
        ],
        "layout": {
            "height": next(height for most, height in MAP_HEIGHTS if len(listed) <= most),
            "margin": {"l": 0, "r": 0, "t": 4, "b": 4},
            "hoverlabel": {"align": "left", "font": {"size": 13}},
            "uniformtext": {"mode": "hide", "minsize": 10},
        },
    }  # fmt: skip


def _tile(row: Row) -> str:
    """``mlp.up_proj.weight`` of 32 blocks as ``up_proj × 32`` and its size."""
    name = row.name.removesuffix(".weight")
    name = name if " " in name else name.rsplit(".", 1)[-1]
    lines = wrap(name.split(" (")[0], 20) or [name]
    times = f" × {row.count}" if row.count > 1 else ""
    return f"{'<br>'.join(map(escape, lines))}{times}<br>{units.binary(row.total)}"


def _hover(row: Row) -> str:
    lines = [
        f"<b>{escape(row.name)}</b>" + (f", {escape(row.where)}" if row.where else ""),
        f"{LABELS[row.component]}: {size(row)}",
        escape(", ".join(one for one in (f"{row.shape} {row.format}".strip(), row.made) if one)),
        escape(row.formula),
        escape(row.source),
    ]
    return "<br>".join(line for line in lines if line)
