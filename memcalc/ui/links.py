"""What a link may say. Streamlit drops values it cannot use without a word; this module finds the words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from memcalc.ui.options import parse_size


def complaints(given: Mapping[str, str], allowed: Mapping[str, Collection[str] | None]) -> list[str]:
    """One sentence for each part of a link that is not understood.

    ``allowed`` maps a parameter to its possible values, or to ``None`` where the control itself checks.
    """
    said = []
    for name, value in given.items():
        if name not in allowed:
            said.append(f"“{_short(name)}” is no setting of this page.")
            continue
        values = allowed[name]
        if values is not None and value not in values:
            said.append(f"“{_short(value)}” is not possible for “{name}”; its usual value is shown.")
    return said


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def size_complaint(text: str) -> str:
    """Why an exact size cannot be read, or an empty string."""
    if not text.strip():
        return ""
    try:
        parse_size(text)
    except ValueError as error:
        return str(error)
    return ""
