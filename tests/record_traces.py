"""Make ``tests/data/traces_*.json`` anew: every case of ``trace_cases*.py`` run by memcalc's own tracer.

    python tests/record_traces.py            all cases (five minutes; needs torch, transformers and peft)
    python tests/record_traces.py lion muon  new cases, and those with one of the words in their name

A file has one case a line: its name, the contract scenario, and what the trace found. Recorded with torch 2.13,
transformers 5.23 and peft 0.21; other versions may differ by a few bytes. What a recorded case would now give is
compared with the record, and differences are printed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from memcalc.trace import trace
from tests import (
    trace_cases,
    trace_cases_denoisers,
    trace_cases_encoders,
    trace_cases_experts,
    trace_cases_families,
    trace_cases_pictures,
    trace_cases_recurrent,
    trace_cases_scans,
    trace_cases_seq2seq,
    trace_cases_settings,
    trace_cases_variants,
)

DATA = Path(__file__).parent / "data"
RECORDS = {
    DATA / "traces_own.json": trace_cases.CASES,
    DATA / "traces_experts.json": trace_cases_experts.CASES,
    DATA / "traces_recurrent.json": trace_cases_recurrent.CASES,
    DATA / "traces_scans.json": trace_cases_scans.CASES,
    DATA / "traces_settings.json": trace_cases_settings.CASES,
    DATA / "traces_variants.json": trace_cases_variants.CASES,
    DATA / "traces_families.json": trace_cases_families.CASES,
    DATA / "traces_encoders.json": trace_cases_encoders.CASES,
    DATA / "traces_pictures.json": trace_cases_pictures.CASES,
    DATA / "traces_denoisers.json": trace_cases_denoisers.CASES,
    DATA / "traces_seq2seq.json": trace_cases_seq2seq.CASES,
}


def recorded(record: Path) -> dict[str, dict[str, Any]]:
    """The cases on record, by name."""
    return {one["name"]: one for one in json.loads(record.read_text("utf-8"))} if record.exists() else {}


def write(record: Path, cases: list[dict[str, Any]]) -> None:
    """One case a line, in the order in which they are listed."""
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    draft = record.with_suffix(".tmp")
    draft.write_text(f"[\n{lines}\n]\n", "utf-8")
    draft.replace(record)


def main(words: list[str]) -> int:
    """Trace what is asked for; returns the number of cases that failed."""
    return sum(_record(record, cases, words) for record, cases in RECORDS.items())


def _record(record: Path, cases: dict[str, dict[str, Any]], words: list[str]) -> int:
    old = recorded(record)
    held = {name: old[name] for name in cases if name in old}
    begun, failed = time.monotonic(), 0
    wanted = [name for name in cases if name not in old or not words or any(word in name for word in words)]
    for number, name in enumerate(wanted, 1):
        scenario = cases[name]
        try:
            expect = trace(scenario).expect()
        except Exception as error:  # any failure of model code is one failed case
            failed += 1
            print(f"{name}: {type(error).__name__} {error}", flush=True)
            continue
        before = old.get(name)
        if before is not None and before["expect"] != expect:
            print(f"{name}: {before['expect']['tensors']:,} is now {expect['tensors']:,}", flush=True)
        held[name] = {"name": name, "scenario": scenario, "expect": expect}
        if number % 10 == 0 or number == len(wanted):
            write(record, [held[one] for one in cases if one in held])
            print(f"{number}/{len(wanted)}, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
