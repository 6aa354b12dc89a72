"""One trace in a process of its own: started, watched, stopped. No Streamlit in here.

The process is ``python -m memcalc trace -``: it imports torch, which the dashboard never does, and may take a
minute and a gigabyte, which a page must not. It ends when it is stopped, when its time is up, when the visitor who
asked has gone, and with the server.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

LIMIT = 300.0
"""Seconds that a trace may take: the largest of the catalogue needs less than a minute on a laptop."""
GRACE = 8.0
"""Seconds that a visitor may be away (a reload, a lost connection) before the trace is stopped."""
GLANCE = 0.25
"""Seconds between two looks at the process."""

_LINE = re.compile(r"tracing\s+[\d.]+ s\s+([\w.]+)")
_PHASES = {
    "import": "importing torch and transformers",
    "build": "building the model, without weights",
    "load": "loading",
    "opt_init": "making the optimizer",
    "fwd": "forward pass",
    "fwd_end": "forward pass",
    "bwd": "backward pass",
    "opt": "optimizer step",
    "zero_grad": "optimizer step",
    "prefill": "prefill",
    "decode_first": "decode",
    "fast_forward": "decode",
    "decode_last": "decode",
    "forward": "forward pass",
    "end": "reading the log",
}
_SHARES = {"import": 0.05, "build": 0.3, "load": 0.4, "opt_init": 0.42, "forward": 0.5, "prefill": 0.45,
           "decode_first": 0.6, "fast_forward": 0.75, "decode_last": 0.8, "end": 0.95}  # fmt: skip
_WITHIN = {"fwd": 0.0, "fwd_end": 0.35, "bwd": 0.4, "opt": 0.85, "zero_grad": 0.95}


def progress_of(phase: str) -> tuple[float, str]:
    """How far a trace is (a rough share of its time) and in what, from the phase that it names.

    >>> progress_of("iter2.bwd")
    (0.78, 'step 2: backward pass')
    """
    head, _, last = phase.rpartition(".")
    said = _PHASES.get(last, last)
    if not head:
        return _SHARES.get(last, 0.5), said
    step = int(re.sub(r"\D", "", head.partition(".")[0]) or 1)
    share = 0.45 + 0.25 * (step - 1) + 0.2 * _WITHIN.get(last, 0.0)
    return round(min(0.95, share), 2), f"step {step}: {said}"


class Job:
    """A running or ended trace of ``scenario``; ``beside`` is the estimate it is to be laid beside.

    ``here`` says whether the visitor is still there. ``done`` is called once, from another thread, when the process
    has ended, however it ended.
    """

    def __init__(
        self,
        scenario: Mapping[str, Any],
        beside: Mapping[str, Any],
        here: Callable[[], bool],
        done: Callable[[], None],
        limit: float = LIMIT,
    ) -> None:
        self.scenario, self.beside = dict(scenario), beside
        self.began = time.monotonic()
        self.phase = "import"
        self.answer: dict[str, Any] | None = None
        self.error = ""
        self.running = True
        self._stop = threading.Event()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the process has ended
        try:
            self._process = _started(scenario, self._output)
        except BaseException:
            self._output.close()
            self.running = False
            done()
            raise
        atexit.register(self._process.kill)
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._watch, args=(here, done, limit), daemon=True).start()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def stop(self) -> None:
        """End it; returns when the process is gone."""
        self._stop.set()
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        """Read the progress line as it comes."""
        assert self._process.stderr is not None
        rest = ""
        with self._process.stderr as pipe:
            while piece := os.read(pipe.fileno(), 4096):
                rest = (rest + piece.decode("utf-8", "replace"))[-4096:]
                found = _LINE.findall(rest)
                if found:
                    self.phase = found[-1]

    def _watch(self, here: Callable[[], bool], done: Callable[[], None], limit: float) -> None:
        away = 0.0
        why = ""
        while self._process.poll() is None:
            away = 0.0 if here() else away + GLANCE
            if self.seconds > limit:
                why = f"It took longer than {limit:.0f} seconds and was stopped."
            elif away > GRACE:
                why = "The visitor had gone."
            if why:
                self._process.kill()
                self._process.wait()
                break
            time.sleep(GLANCE)
        atexit.unregister(self._process.kill)
        try:
            self._read("Stopped." if self._stop.is_set() else why)
        finally:
            self._output.close()
            self.running = False
            done()

    def _read(self, why: str) -> None:
        if why:
            self.error = why
            return
        self._output.seek(0)
        try:
            answer = json.loads(self._output.read())
            if "error" in answer:
                self.error = str(answer["error"]["message"])
            else:
                self.answer = answer
        except (ValueError, TypeError, KeyError):
            self.error = f"The tracer ended without an answer (exit status {self._process.returncode})."


def _started(scenario: Mapping[str, Any], output: IO[bytes]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "memcalc", "trace", "-"],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(json.dumps(scenario).encode())
    return process
