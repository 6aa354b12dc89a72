"""What all tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looked at without a browser has no moment of rest: what waits for one is worked out at once."""
    from memcalc.ui import rest

    monkeypatch.setattr(rest, "PAUSE", 0)
