"""What a server's process takes: processor time, memory, threads (Linux)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def children(pid: int) -> list[int]:
    """Its living children."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += [int(one) for one in (task / "children").read_text().split()]
    return found


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process and its living children have used, ended threads included: Linux's clock
    of a process (clock_getcpuclockid(3)), since /proc counts in ticks that short threads slip through."""
    seconds = 0.0
    for one in [pid, *children(pid)]:
        with contextlib.suppress(OSError):
            seconds += time.clock_gettime(~one << 3 | 2)
    return seconds


def memory(pid: int, line: str = "VmRSS") -> int:
    """Bytes of main memory that a process and its living children hold; ``VmHWM``: that they have held at most
    (proc_pid_status(5))."""
    size = 0
    for one in [pid, *children(pid)]:
        with contextlib.suppress(OSError, StopIteration):
            text = Path(f"/proc/{one}/status").read_text()
            size += 1024 * next(int(row.split()[1]) for row in text.splitlines() if row.startswith(line + ":"))
    return size


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def percentile(values: list[float], share: float) -> float:
    """The value that this share of ``values`` does not exceed."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]
