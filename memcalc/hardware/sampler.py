"""One sampler for everybody who looks: it reads the GPUs at a steady rate and keeps the last minutes.

``view`` never waits for the driver (but, if asked to, for the very first reading). A thread of the sampler reads
while somebody looks and ends when nobody has for a minute. What a device said last stays, with its age, when the
driver hangs or the device is lost.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from memcalc.hardware.live import LiveGpu, LiveGpus
from memcalc.hardware.worker import Worker

SETTING = "MEMCALC_LIVE_SECONDS"
"""Environment variable: seconds between two readings."""
USUAL, FASTEST, SLOWEST = 2.0, 0.5, 60.0
KEEP = 300.0
"""Seconds of history, and for which a device that is gone is still shown."""
IDLE = 60.0
"""Seconds without a look after which reading ends."""
NO_DRIVER = 30.0
"""Seconds between two readings, at most, where there is no driver or it hangs."""


def rate() -> float:
    """Seconds between two readings, from MEMCALC_LIVE_SECONDS; the usual value where that says nothing useful."""
    try:
        asked = float(os.environ.get(SETTING, USUAL))
    except ValueError:
        return USUAL
    return USUAL if math.isnan(asked) else min(max(asked, FASTEST), SLOWEST)


@dataclass(frozen=True)
class Seen:
    """A device as it was last seen; ``why`` is empty while it answers."""

    gpu: LiveGpu
    at: float  # seconds of the sampler's clock
    why: str = ""


@dataclass(frozen=True, eq=False)
class View:
    """What there is to see. ``trouble`` says why the last reading did not come, ``at`` is when the newest came.
    Two views are the same only if they are one: what is drawn from one is drawn once for all visitors."""

    reading: LiveGpus
    at: float | None
    devices: tuple[Seen, ...] = ()
    trouble: str = ""
    history: tuple[tuple[float, LiveGpus], ...] = ()
    number: int = 0

    def series(self, key: str) -> list[tuple[float, LiveGpu]]:
        """(time, device) for the device of this ``LiveGpu.key``, oldest first, where it told its memory."""
        found = []
        for at, reading in self.history:
            found += [(at, gpu) for gpu in reading.gpus if gpu.key == key and gpu.total is not None]
        return found


NOTHING = View(LiveGpus(None, (), "This machine's GPUs have not been read yet."), None)


class Sampler:
    """Holds the newest view; safe for any number of threads."""

    def __init__(
        self,
        read: Callable[[], LiveGpus] | None = None,
        every: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        worker = None if read is not None else Worker()
        self._read: Callable[[], LiveGpus] = read if read is not None else worker.read  # type: ignore[union-attr]
        self._close = close if worker is None else worker.close
        self.every = rate() if every is None else every
        self.clock = clock
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._asked = clock()
        self._view = NOTHING
        self._failures = 0
        self._known: dict[str, Seen] = {}
        self._history: deque[tuple[float, LiveGpus]] = deque()

    def view(self, wait: float = 0.0) -> View:
        """The newest view; keeps the sampler reading. ``wait``: seconds to wait, at most, while nothing was read."""
        with self._changed:
            self._asked = self.clock()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="memcalc-sampler")
                self._thread.start()
            if wait and self._view is NOTHING:
                self._changed.wait_for(lambda: self._view is not NOTHING, wait)
            return self._view

    @property
    def pause(self) -> float:
        """Seconds until the next reading: longer after each that found nothing."""
        return min(self.every * float(2 ** min(self._failures, 8)), max(self.every, NO_DRIVER))

    def step(self) -> View:
        """Read once, now, in this thread."""
        try:
            reading, trouble = self._read(), ""
        except Exception as error:  # whatever it is: the one sampler of all visitors must go on
            reading, trouble = None, str(error) or type(error).__name__
        now = self.clock()
        with self._changed:
            old = self._view
            if reading is None:
                self._failures += 1
                at = old.at
                reading = old.reading if at is not None else LiveGpus(None, (), "")
                devices = old.devices
            else:
                self._failures = 0 if reading.gpus else self._failures + 1
                at = now
                devices = self._merge(reading, now)
                self._history.append((now, reading))
            while self._history and now - self._history[0][0] > KEEP:
                self._history.popleft()
            self._view = View(reading, at, devices, trouble, tuple(self._history), old.number + 1)
            self._changed.notify_all()
            return self._view

    def _merge(self, reading: LiveGpus, now: float) -> tuple[Seen, ...]:
        """The devices of a reading; in place of those that say nothing now, and of those gone, what was known."""
        seen, there = [], set()
        for gpu in reading.gpus:
            if gpu.total is not None:
                self._known[gpu.key] = one = Seen(gpu, now)
            else:
                last = self._last(gpu)
                why = gpu.reasons.get("total", "") or "the driver says nothing about it"
                one = Seen(gpu, now, why) if last is None else Seen(last.gpu, last.at, why)
            seen.append(one)
            there.add(one.gpu.key)
        gone = reading.note if not reading.gpus and reading.note else "the driver no longer lists it"
        for key, last in list(self._known.items()):
            if now - last.at > KEEP:
                del self._known[key]
            elif key not in there:
                seen.append(Seen(last.gpu, last.at, gone))
        return tuple(sorted(seen, key=lambda one: (one.gpu.index, _slot(one.gpu))))

    def _last(self, gpu: LiveGpu) -> Seen | None:
        """What was known of a device that says nothing now: the same UUID, or the same number if it tells none."""
        if gpu.uuid is not None:
            return self._known.get(gpu.uuid)
        return next((one for one in self._known.values() if one.gpu.device == gpu.device), None)

    def _run(self) -> None:
        while True:
            self.step()
            time.sleep(self.pause)
            with self._changed:
                if self.clock() - self._asked > IDLE:
                    self._thread = None
                    self._close()
                    return


def _slot(gpu: LiveGpu) -> int:
    return int(gpu.device.partition(":")[2] or 0)
