"""Plain tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.solve.verdict import Verdict
from memcalc.units import binary


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows under each other, the first being the heading; the first ``left`` columns are set left, the rest right.

    >>> print(table([("a", "n"), ("bb", "12")]))
    a    n
    bb  12
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(widths[i]) if i < left else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def said(verdict: Verdict) -> str:
    """A verdict in one line."""
    needs = f"needs {binary(verdict.point)} ({binary(verdict.low)} to {binary(verdict.high)})"
    if verdict.state == "unknown":
        return needs
    return f"{verdict.state}: {needs} of {binary(verdict.limit)}"


def as_json(verdict: Verdict | None) -> dict[str, object] | None:
    """A verdict's figures."""
    if verdict is None:
        return None
    return {
        "verdict": verdict.state,
        "range": [verdict.low, verdict.high],
        "device": verdict.point,
        "limit": verdict.limit,
    }
