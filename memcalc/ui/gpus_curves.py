"""The last minutes of a device as small curves. No Streamlit in here.

They are boxes cut to shape (``clip-path``), since Streamlit lets no SVG through.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from memcalc import units
from memcalc.hardware.live import LiveGpu
from memcalc.hardware.sampler import KEEP, View

#: Steps of a curve, at most.
CORNERS = 60


def curves(gpu: LiveGpu, view: View, now: float) -> str:
    """Memory, and the share of time in use."""
    series = view.series(gpu.key)
    if len(series) < 2 or gpu.total is None:
        return ""
    memory = [(at, (one.used or 0) / (one.total or 1)) for at, one in series]
    low, high = (units.binary(edge(one.used or 0 for _, one in series)) for edge in (min, max))
    drawn = _curve("memory", memory, now, f"Memory used in the last minutes: {low} to {high}", high)
    busy = [(at, one.utilisation / 100) for at, one in series if one.utilisation is not None]
    if len(busy) > 1:
        most = max(share for _, share in busy)
        drawn += _curve("busy", busy, now, f"Share of time in use in the last minutes: up to {most:.0%}", f"{most:.0%}")
    return f'<div class="mc-curves">{drawn}</div>'


def _curve(name: str, points: list[tuple[float, float]], now: float, said: str, top: str) -> str:
    return (
        f'<div><span class="mc-small">{name}, most {escape(top)}</span><div class="mc-curve" role="img" '
        f'aria-label="{escape(said)}"><i style="clip-path:polygon({shape(points, now)})"></i></div></div>'
    )


def shape(points: Sequence[tuple[float, float]], now: float, span: float = KEEP) -> str:
    """A curve's area as corners of a CSS polygon, ``span`` seconds wide with ``now`` at the right. Equal stretches of
    time keep their highest point; where nothing was read for a while the area goes down to the ground."""
    width = span / CORNERS
    kept: dict[int, float] = {}
    for at, share in points:
        place = CORNERS - int((now - at) / width)
        if 0 <= place <= CORNERS:
            kept[place] = max(kept.get(place, 0.0), min(max(share, 0.0), 1.0))
    corners: list[str] = []
    before: int | None = None
    for place, share in sorted(kept.items()):
        start = place - 1 if before is None or place - before > 3 else before
        if start != before:
            corners += [f"{100 * before / CORNERS:.1f}% 100%"] if before is not None else []
            corners.append(f"{100 * start / CORNERS:.1f}% 100%")
        y = f"{100 * (1 - share):.0f}%"
        corners += [f"{100 * start / CORNERS:.1f}% {y}", f"{100 * place / CORNERS:.1f}% {y}"]
        before = place
    if before is not None:
        corners.append(f"{100 * before / CORNERS:.1f}% 100%")
    return ",".join(corners)
