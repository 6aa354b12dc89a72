"""A page's address at a state, and the same as a QR code. Nothing asks a network."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import segno


def address(base: str, page: str, settings: Mapping[str, str]) -> str:
    """The link to a page at a state."""
    query = urlencode(settings)
    return f"{base}/{page}" + (f"?{query}" if query else "")


def code(link: str) -> str:
    """The link as a QR code: an SVG picture as a data URI, black on white with the quiet zone of four modules that
    readers need (ISO/IEC 18004). Empty for a link that is longer than such a code holds, some 2,300 characters."""
    try:
        made = segno.make(link, error="m", micro=False)
    except segno.DataOverflowError:
        return ""
    return str(made.svg_data_uri(border=4, scale=4, light="#fff", dark="#000"))
