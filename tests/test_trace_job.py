"""A trace started from the dashboard: it runs beside the server, says how far it is, and ends in every case."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from memcalc.trace import installed
from memcalc.ui import trace_job, trace_table
from memcalc.ui.trace_job import Job, progress_of

TINY = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 1, "n_embd": 64, "n_head": 4,
        "vocab_size": 500}  # fmt: skip
SCENARIO = {"model": {"config": TINY}, "task": "train", "seq_len": 32}


def here() -> bool:
    return True


def wait(true: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the tracer, a process that says one line of progress and never ends by itself."""
    line = r"\rtracing    1.5 s  iter2.bwd               "
    code = f"import sys, time; sys.stderr.write('{line}'); sys.stderr.flush(); time.sleep(600)"

    def started(_scenario: Any, output: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=subprocess.PIPE)

    monkeypatch.setattr(trace_job, "_started", started)


def gone(job: Job) -> bool:
    return not job.running and job._process.poll() is not None


@pytest.mark.usefixtures("endless")
def test_progress_is_read_while_it_runs_and_stop_ends_it() -> None:
    done = threading.Event()
    job = Job(SCENARIO, {}, here, done.set)
    wait(lambda: job.phase == "iter2.bwd")
    assert job.running
    assert progress_of(job.phase) == (0.78, "step 2: backward pass")
    job.stop()
    wait(lambda: gone(job))
    assert done.is_set()
    assert (job.answer, job.error) == (None, "Stopped.")


@pytest.mark.usefixtures("endless")
def test_it_ends_when_its_time_is_up() -> None:
    job = Job(SCENARIO, {}, here, lambda: None, limit=0.5)
    wait(lambda: gone(job))
    assert "longer than" in job.error


@pytest.mark.usefixtures("endless")
def test_it_ends_when_the_visitor_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_job, "GRACE", 0.4)
    job = Job(SCENARIO, {}, lambda: False, lambda: None)
    wait(lambda: gone(job))
    assert job.answer is None


def test_a_place_is_given_back_when_it_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> subprocess.Popen[bytes]:
        raise OSError("no more processes")

    monkeypatch.setattr(trace_job, "_started", broken)
    done = threading.Event()
    with pytest.raises(OSError, match="no more"):
        Job(SCENARIO, {}, here, done.set)
    assert done.is_set()


def test_the_real_process_answers_or_says_what_is_missing() -> None:
    job = Job(SCENARIO, {}, here, lambda: None)
    wait(lambda: not job.running, 120)
    if installed():
        assert job.answer is not None
        assert job.answer["method"] == "traced"
        assert "made by" in trace_table.largest(job.answer)
    else:
        assert "pip install" in job.error


def test_a_refusal_of_the_tracer_is_its_words() -> None:
    if not installed():
        pytest.skip("torch and transformers are not installed")
    job = Job({"model": {"config": {"model_type": "no-such"}}, "task": "infer"}, {}, here, lambda: None)
    wait(lambda: not job.running, 120)
    assert "no-such" in job.error


def test_differences_in_words() -> None:
    assert trace_table.difference(100, 100) == "equal"
    assert trace_table.difference(103, 100) == "+3.00%"
    assert trace_table.difference(2**30 - 12, 2**30) == "-12 B"


def test_nothing_from_a_trace_is_rendered_as_html() -> None:
    tensor = {"component": "weights", "made_by": "<b>x", "node": "", "module": "<i>", "phase": "load", "shape": [2],
              "format": "f", "bytes": 512, "count": 1}  # fmt: skip
    shown = trace_table.largest({"tensors": [tensor]})
    assert "<b>x" not in shown
    assert "<i>" not in shown
