"""What all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hub_stand_in import Answer, StandIn

from memcalc.models.files import hub


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looked at without a browser has no moment of rest: what waits for one is worked out at once."""
    from memcalc.ui import rest

    monkeypatch.setattr(rest, "PAUSE", 0)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """``serve(answer)``: a Hub on this machine; what it was asked for comes back as a list."""
    servers = []

    def start(answer: Answer) -> list[str]:
        server = StandIn(answer)
        servers.append(server)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        hub._text.cache_clear()
        return server.asked

    yield start
    for one in servers:
        one.stop()
