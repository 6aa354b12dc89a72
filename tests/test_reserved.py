"""``reserved``, exact by replay on demand."""

from __future__ import annotations

import json
import subprocess
import sys

import memcalc
from memcalc.allocator.expand import replay_scenario

SCENARIO = {"model": "gpt2", "task": "train", "seq_len": 256, "batch": 4, "hardware": {"gpu": "8GB"}}


def test_replayed_is_the_estimate_with_the_allocators_own_figures() -> None:
    quick, exact, run = memcalc.estimate(SCENARIO), memcalc.replayed(SCENARIO), replay_scenario(SCENARIO)
    assert (exact.peak["reserved"], exact.peak["allocated"]) == (run.reserved, run.allocated)
    assert exact.peak["tensors"] == quick.peak["tensors"] == run.tensors - quick.overhead["workspace"]
    assert exact.peak["device"] - exact.peak["reserved"] == quick.peak["device"] - quick.peak["reserved"]
    for name in ("allocated", "reserved", "device"):
        low, high = exact.range[name]
        assert low <= exact.peak[name] <= high
    narrow, wide = (one.range["reserved"][1] - one.range["reserved"][0] for one in (exact, quick))
    assert narrow < wide
    assert exact.fit is not None
    assert exact.fit["headroom"] == exact.fit["capacity"] - exact.peak["device"]
    assert sum("replayed" in line for line in exact.assumptions) == 1


def test_the_command_line_has_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "memcalc", "estimate", "--exact-reserved", "-"],
        input=json.dumps(SCENARIO), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["peak"]["reserved"] == replay_scenario(SCENARIO).reserved
