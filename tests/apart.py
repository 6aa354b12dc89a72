"""Coroutines in tests, each in a thread and a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What ``coroutine`` comes to. The browser's tests leave the main thread with a loop that runs until the end of all
    tests, beside which ``asyncio.run`` refuses to work there."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
