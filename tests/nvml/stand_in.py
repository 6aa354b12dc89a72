"""Compiles ``stand_in.c`` to a ``libnvidia-ml.so.1`` and writes what it is to answer.

The real binding (``pynvml``) loads the library by that name, so a process started with the folder in
LD_LIBRARY_PATH reads the stand-in in place of a driver. Run as a script it writes a scene for screenshots and the
benchmark: ``python tests/nvml/stand_in.py FOLDER SCENE`` prints the environment that a server needs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

MIB = 2**20
SOURCE = Path(__file__).with_name("stand_in.c")
Answers = dict[str, object]


def compiler() -> str | None:
    """The C compiler of this machine."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)


class StandIn:
    """The library in a folder of its own, and the file with its answers."""

    def __init__(self, folder: Path, *defines: str) -> None:
        self.folder, self.file = folder, folder / "answers.txt"
        found = compiler()
        assert found, "no C compiler on this machine"
        library = folder / "libnvidia-ml.so.1"
        flags = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *(f"-D{name}" for name in defines)]
        subprocess.run([found, *flags, "-o", str(library), str(SOURCE)], check=True)
        self.answers: Answers = {}
        self.says(machine(0))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see this driver."""
        return {"LD_LIBRARY_PATH": str(self.folder), "NVML_STAND_IN": str(self.file)}

    def says(self, answers: Answers) -> None:
        """From now on the library gives these answers, and only these."""
        self.answers = dict(answers)
        written = self.file.with_suffix(".new")
        written.write_text("".join(f"{key}={value}\n" for key, value in answers.items()), encoding="utf-8")
        written.replace(self.file)  # at once: the library reads at any time

    def changes(self, answers: Answers) -> None:
        """Some answers change; None takes one away, which makes it "not supported"."""
        changed = self.answers | answers
        self.says({key: value for key, value in changed.items() if value is not None})


def card(number: int, name: str = "NVIDIA H100 80GB HBM3", **answers: object) -> Answers:
    """A card with 81,559 MiB of which the driver keeps 551, as an H100 reports; 1,008 MiB in use by process 4242."""
    told: Answers = {
        "name": name,
        "uuid": f"GPU-{number:08x}-1111-2222-3333-444444444444",
        "capability": "9.0",
        "pci": f"00000000:{0x10 + number:02X}:00.0",
        "total": 81559 * MIB,
        "reserved": 551 * MIB,
        "used": 1008 * MIB,
        "free": 80000 * MIB,
        "utilisation": 37,
        "temperature": 41,
        "power": 118_250,
        "power_limit": 700_000,
        "mig": 0,
        "processes": f"4242:{1000 * MIB}",
    } | answers
    return {f"gpu{number}.{field}": value for field, value in told.items() if value is not None}


def machine(count: int, **answers: object) -> Answers:
    """A machine with so many equal cards."""
    found: Answers = {"driver": "580.95.05", "cuda": 13000, "count": count, "process4242": "/usr/bin/python3.11"}
    for number in range(count):
        found |= card(number)
    return found | answers


def part(gpu: int, slot: int, total: int, used: int, processes: str = "") -> Answers:
    """A MIG device; sizes in MiB."""
    told = {
        "name": "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "uuid": f"MIG-{gpu}{slot}000000-1111-2222-3333-444444444444",
        "total": total * MIB,
        "reserved": 13 * MIB,
        "used": used * MIB,
        "free": (total - used - 13) * MIB,
        "processes": processes,
    }
    return {f"gpu{gpu}.part{slot}.{field}": value for field, value in told.items()}


def divided() -> Answers:
    """An A100 divided in three (slots 0, 1 and 3), and a whole one behind it."""
    whole = card(0, "NVIDIA A100-SXM4-40GB", capability="8.0", mig=1, total="!4", processes="!4", utilisation=None)
    found: Answers = {"driver": "580.95.05", "cuda": 13000, "count": 2, "process4242": "/usr/bin/python3.11"} | whole
    found |= part(0, 0, 19968, 12, "") | part(0, 1, 9856, 6102, f"4242:{6000 * MIB}") | part(0, 3, 4864, 4)
    return found | card(1, "NVIDIA A100-SXM4-40GB", capability="8.0", total=40960 * MIB, reserved=610 * MIB,
                        used=20350 * MIB, free=20000 * MIB, processes=f"4242:{20340 * MIB}")  # fmt: skip


def busy() -> Answers:
    """Eight cards as on a training node: some full, some free, one shared by several processes."""
    found = machine(8)
    for number, (used, load, degrees, watts) in enumerate(
        ((74210, 99, 68, 688), (74198, 98, 66, 691), (74190, 99, 71, 684), (73870, 97, 64, 690),
         (41230, 54, 52, 402), (18210, 12, 40, 171), (1008, 0, 33, 72), (4, 0, 31, 69))
    ):  # fmt: skip
        listed = {
            4: f"5120:{22000 * MIB},5121:{12210 * MIB},5122:{7000 * MIB}",
            5: f"6001:{18200 * MIB}",
            7: "",
        }.get(number, f"{4242 + number}:{max(0, used - 8) * MIB}")
        found |= card(number, used=used * MIB, free=(81559 - 551 - used) * MIB, utilisation=load,
                      temperature=degrees, power=watts * 1000, processes=listed)  # fmt: skip
    names = {4243: "python3.11", 4244: "python3.11", 4245: "python3.11", 4248: "Xorg", 5120: "vllm", 5121: "python3.12",
             5122: "tritonserver", 6001: "ollama"}  # fmt: skip
    return found | {f"process{pid}": f"/usr/bin/{name}" for pid, name in names.items()}


def lost() -> Answers:
    """The same, but the fourth card has fallen off the bus, and one does not say how warm it is."""
    return busy() | {"gpu3.all": "!15", "gpu6.temperature": "!3", "gpu6.power": "!3"}


SCENES = {"busy": busy, "lost": lost, "mig": divided, "none": lambda: machine(0), "one": lambda: machine(1)}

if __name__ == "__main__":
    made = StandIn(Path(sys.argv[1]))
    made.says(SCENES[sys.argv[2]]())
    print(" ".join(f"{name}={value}" for name, value in made.environment.items()))
