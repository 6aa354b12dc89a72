"""NVML read in a process of its own, which may hang, crash or be replaced without harm to the one that asks.

A call into the driver cannot be interrupted: where it hangs, the thread that made it is gone for good, and with
it whatever waits for it. So a small child process makes the calls (``memcalc.hardware.reading``): it
answers each line on its standard input with one line of JSON. An answer that does not come in time costs the
child its life; the next question starts a new one, which also loads the driver's library anew (after an update of
the driver the old one is of no use). A child that not even a kill can end, because the kernel holds it, is waited
for, and never more than ``MOST_STUCK`` of them exist.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from memcalc.hardware.live import LiveGpus

PATIENCE = 5.0
"""Seconds to wait for an answer. Without persistence mode the driver takes seconds to begin (nvidia-smi, too)."""
MOST_STUCK = 2
LONGEST = 8 * 2**20
"""Characters of one answer at most: 16 devices with 4,096 processes each stay below."""
COMMAND = (sys.executable, "-m", "memcalc.hardware.reading")


class Hung(Exception):
    """No answer in time; ``args[0]`` is a sentence."""


class Worker:
    """Asks the child; for one caller at a time."""

    def __init__(self, command: tuple[str, ...] = COMMAND, patience: float = PATIENCE) -> None:
        self.command, self.patience = command, patience
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._stuck: list[subprocess.Popen[str]] = []

    def read(self) -> LiveGpus:
        """One reading. Raises Hung if it does not come in time, or if earlier ones are still stuck."""
        self._stuck = [child for child in self._stuck if child.poll() is None]
        if self._child is None or self._child.poll() is not None:
            if len(self._stuck) >= MOST_STUCK:
                raise Hung("The driver still holds earlier queries; no new one is started until it lets go.")
            self._start()
        try:
            return LiveGpus.from_json(json.loads(self._ask()))
        except (ValueError, TypeError, KeyError) as error:
            self._give_up()
            raise Hung("The process that reads the GPUs ended without an answer.") from error

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._give_up()

    def _start(self) -> None:
        # The child finds the memcalc that this process runs, wherever it was started.
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
        )
        self._lines = queue.Queue()
        threading.Thread(target=_listen, args=(self._child, self._lines), daemon=True, name="memcalc-nvml").start()

    def _ask(self) -> str:
        assert self._child is not None
        assert self._child.stdin is not None
        try:
            self._child.stdin.write("\n")
            self._child.stdin.flush()
            return self._lines.get(timeout=self.patience)
        except OSError:
            return ""
        except queue.Empty:
            self._give_up()
            said = f"The driver has not answered for {self.patience:g} seconds."
            raise Hung(said) from None

    def _give_up(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        if child.stdin is not None:
            # One that the kernel holds finds nobody to answer once it is let go, and ends.
            with contextlib.suppress(OSError):
                child.stdin.close()
        try:
            child.wait(0.5)
        except subprocess.TimeoutExpired:
            self._stuck.append(child)


def _listen(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """Pass on what the child says until it ends; its end is an empty line."""
    assert child.stdout is not None
    with child.stdout:
        while line := child.stdout.readline(LONGEST):
            lines.put(line)
    lines.put("")


def read_within(patience: float = PATIENCE) -> LiveGpus:
    """One reading in a process of its own: never hangs, never raises."""
    worker = Worker(patience=patience)
    try:
        return worker.read()
    except (Hung, OSError) as error:
        return LiveGpus(None, (), str(error))
    finally:
        worker.close()
