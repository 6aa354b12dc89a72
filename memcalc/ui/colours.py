"""One colour for each component, the same on every page and in both themes.

The six colours and the grey were chosen by a search under which every two of them that can touch in a
bar (components of size zero are skipped, so that is nearly every pair) stay at least 29 units of CIE76
apart, for normal sight and for Machado's full protan-, deuteran- and tritanopia. ``tests/test_colours.py``
holds that figure. Colour is never the only sign: wide segments carry their name, the table repeats all.
"""

from __future__ import annotations

from memcalc.components import COMPONENTS as COMPONENTS
from memcalc.components import LABELS as LABELS
from memcalc.components import OVERHEAD as OVERHEAD

#: What is on a card already, and not part of any estimate; drawn hatched, so that no grey is taken for another.
OTHERS, OTHERS_LABEL, OTHERS_COLOUR = "others", "already on the card", "#6B7683"

COLOURS = {
    "weights": "#384EBF",
    "gradients": "#BF440A",
    "optimizer": "#44B9F2",
    "activations": "#7D447B",
    "kv_cache": "#219C4C",
    "temporary": "#F2AE24",
    "overhead": "#98A1AB",
}

#: Mid-grey that shows on white and on near-black alike (at least 3:1 on both): lines, outlines, axes.
LINE = "#7A8592"
DARK_INK, LIGHT_INK = "#10151C", "#FFFFFF"


def luminance(colour: str) -> float:
    """WCAG's relative luminance of ``#RRGGBB``, 0 for black and 1 for white."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours, 1 to 21; running text needs 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink(colour: str) -> str:
    """The text colour, nearly black or white, that reads best on ``colour``."""
    return max((DARK_INK, LIGHT_INK), key=lambda text: contrast(text, colour))
