"""memcalc's reading of this machine's GPUs beside nvidia-smi's of the same second.

    python tests/record_gpus.py [FILE]

Needs an NVIDIA driver. Reads with both, one right after the other and again until both agree about memory use (it
moves while it is read) or ten times have passed, prints a table and, if FILE is named, writes it there. Exit status 1
if a figure differs by more than ``ALLOWED``. No GPU was at hand when this was written: the table in the repository's
history is missing until somebody runs it on a machine that has one.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from memcalc.hardware.live import LiveGpu, LiveGpus
from memcalc.hardware.worker import read_within

MIB = 2**20
#: nvidia-smi's columns, the same in memcalc, and the difference that is allowed.
COLUMNS = {
    "memory.total": (lambda gpu: mib(gpu.total), 1),
    "memory.reserved": (lambda gpu: mib(gpu.reserved), 1),
    "memory.used": (lambda gpu: mib(gpu.used), 8),
    "memory.free": (lambda gpu: mib(gpu.free), 8),
    "utilization.gpu": (lambda gpu: gpu.utilisation, 30),
    "temperature.gpu": (lambda gpu: gpu.temperature, 2),
    "power.draw": (lambda gpu: gpu.power, 40),
}


def mib(size: int | None) -> float | None:
    return None if size is None else size / MIB


def nvidia_smi() -> list[list[str]]:
    """uuid, name and COLUMNS of every GPU, as nvidia-smi prints them without units."""
    query = ",".join(["uuid", "name", *COLUMNS])
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [[cell.strip() for cell in line.split(",")] for line in said.splitlines() if line.strip()]


def number(text: str) -> float | None:
    """A cell of nvidia-smi's; ``[N/A]`` and ``[Not Supported]`` are None, as in memcalc."""
    try:
        return float(text)
    except ValueError:
        return None


def rows(reading: LiveGpus, said: list[list[str]]) -> list[tuple[str, str, str, str, bool]]:
    """(card, figure, memcalc, nvidia-smi, whether they agree)."""
    ours: dict[str | None, LiveGpu] = {gpu.uuid: gpu for gpu in reading.gpus}
    found = []
    for uuid, name, *cells in said:
        gpu = ours.get(uuid)
        if gpu is None:
            found.append((name, "listed", "no (divided into MIG devices?)", "yes", False))
            continue
        found.append((name, "number", gpu.device, str(len({row[0] for row in found})), True))
        for (column, (of, allowed)), cell in zip(COLUMNS.items(), cells, strict=True):
            one, other = of(gpu), number(cell)
            same = (one is None and other is None) or (None not in (one, other) and abs(one - other) <= allowed)  # type: ignore[operator]
            found.append((name, column, "–" if one is None else f"{one:.1f}", cell, bool(same)))
    return found


def main() -> int:
    try:
        for _ in range(10):
            reading, said = read_within(), nvidia_smi()
            found = rows(reading, said)
            if all(row[4] for row in found):
                break
    except (OSError, subprocess.SubprocessError) as error:
        print(f"nvidia-smi cannot be asked here: {error}", file=sys.stderr)
        return 2
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, {platform.system()} {platform.release()}, "
        f"driver {reading.driver}, CUDA up to {reading.cuda}",
        "",
        "| card | figure (MiB, %, °C, W) | memcalc | nvidia-smi | agree |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {card} | {what} | {one} | {other} | {'yes' if same else 'NO'} |"
            for card, what, one, other, same in found
        ),
    ]
    print("\n".join(lines))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if found and all(row[4] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
