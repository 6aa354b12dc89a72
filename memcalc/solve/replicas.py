"""The smallest number of equal cards that a training step fits on, sharded over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.scenario.paths import put
from memcalc.shared import Shared
from memcalc.solve.verdict import Verdict, understood, verdict

MOST = 1024
"""Cards: more are not tried."""


@dataclass(frozen=True, slots=True)
class Fewest:
    """``cards`` of the kind in the scenario, with the micro-batch on each of them; ``at`` is their verdict, ``fewer``
    that of one card less (None for one card)."""

    cards: int
    strategy: str
    at: Verdict
    fewer: Verdict | None


def fewest_cards(
    scenario: Mapping[str, Any], strategy: str = "fsdp2", allow_files: bool = True, shared: Shared | None = None
) -> Fewest | None:
    """The smallest number of cards over which ``strategy`` makes the training ``scenario`` fit; None where not even
    1,024 are enough (activations are not divided).

    What one card holds falls with the number of cards, but for padding: a number is doubled until it fits, and then all
    between the last two are looked at from below.

    >>> found = fewest_cards({"model": "gpt2", "task": "train", "seq_len": 128, "hardware": {"gpu": "24GB"}})
    >>> found.cards if found else None
    1
    """
    asked, shared = understood(scenario, allow_files), shared or Shared()

    def judged(count: int) -> Verdict:
        more = put(put(asked, "parallel.data", count), "parallel.strategy", strategy)
        return verdict(put(more, "hardware.count", count), shared, allow_files)

    fewer, count = judged(1), 1
    if fewer.fits:
        return Fewest(1, strategy, fewer, None)
    while count < MOST:
        count *= 2
        at = judged(count)
        if at.fits:
            for one in range(count // 2 + 1, count):
                there = judged(one)
                if there.fits:
                    return Fewest(one, strategy, there, fewer)
                fewer = there
            return Fewest(count, strategy, at, fewer)
        fewer = at
    return None
