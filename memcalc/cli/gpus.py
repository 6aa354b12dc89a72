"""``python -m memcalc gpus`` and ``python -m memcalc calibrate``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from memcalc.errors import HardwareError
from memcalc.hardware import calibration, system
from memcalc.hardware.calibrate import calibrate
from memcalc.hardware.live import LiveGpu, LiveGpus, choose
from memcalc.hardware.sampler import rate
from memcalc.hardware.worker import Hung, Worker, read_within
from memcalc.units import MiB, binary


def add(commands: Any) -> None:
    """Add both to the command line."""
    gpus = commands.add_parser("gpus", help="the NVIDIA GPUs of this machine, and their memory now")
    gpus.add_argument("--json", action="store_true", help="as JSON (with --watch: a line for each reading)")
    gpus.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    gpus.set_defaults(run=lambda chosen: _gpus(chosen.json, chosen.watch))
    measured = commands.add_parser("calibrate", help="measure a GPU's CUDA context and workspaces (needs torch)")
    measured.add_argument("gpu", nargs="?", default="live:0", help="live:0 (the default), live:GPU-… (a UUID)")
    measured.add_argument("--list", action="store_true", help="show what was measured so far")
    measured.add_argument("--remove", action="store_true", help="forget what was measured on the GPU")
    measured.set_defaults(run=_calibrate)


def _gpus(as_json: bool, watch: bool) -> int:
    if not watch:
        print(_shown(read_within(), as_json))
        return 0
    worker, every = Worker(), rate()
    try:
        while True:
            begun = time.monotonic()
            try:
                reading = worker.read()
            except (Hung, OSError) as error:
                reading = LiveGpus(None, (), str(error))
            if not as_json and sys.stdout.isatty():
                print("\x1b[2J\x1b[H", end="")  # clear the screen, cursor to its top left
            print(_shown(reading, as_json, lines=True), flush=True)
            time.sleep(max(0.0, begun + every - time.monotonic()))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone: nothing more to say
        return 0
    finally:
        worker.close()


def _shown(reading: LiveGpus, as_json: bool, lines: bool = False) -> str:
    if as_json:
        return json.dumps(reading.as_json(), indent=None if lines else 2)
    said = [f"driver {reading.driver}, CUDA up to {reading.cuda or '–'}"] if reading.driver else []
    said += [line for gpu in reading.gpus for line in _lines(gpu)]
    said += [reading.note] if reading.note else []
    if not reading.gpus:
        said += [line for line in (system.not_read(system.makers()),) if line]
    return "\n".join(said)


def _lines(gpu: LiveGpu) -> list[str]:
    """A device in two lines, then its processes; a dash where the driver does not say."""

    def size(value: int | None) -> str:
        return "–" if value is None else binary(value)

    facts = [
        "–" if gpu.utilisation is None else f"{gpu.utilisation} % busy",
        "–" if gpu.temperature is None else f"{gpu.temperature} °C",
        "–" if gpu.power is None else f"{gpu.power:.0f} W",
    ]
    memory = f"{size(gpu.free)} free, {size(gpu.used)} used, {size(gpu.reserved)} the driver's, of {size(gpu.total)}"
    lines = [f"GPU {gpu.device}  {gpu.name}  {gpu.uuid or '–'}", f"  {memory}; {', '.join(facts)}"]
    for one in gpu.processes or ():
        lines.append(f"  process {one.pid}  {one.name or '–'}  {size(one.memory)}  {one.kind}")
    why = dict.fromkeys(gpu.reasons.values())
    return lines + [f"  –: {reason}" for reason in why]


def _calibrate(chosen: argparse.Namespace) -> int:
    try:
        if chosen.list:
            return _list()
        if chosen.remove:
            # A device that is no longer there is named by its whole UUID.
            name = chosen.gpu.removeprefix("live:")
            kept = calibration.load().of(name)
            uuid = kept.uuid if kept else choose(read_within(), chosen.gpu).uuid
            print("Forgotten." if uuid and calibration.remove(uuid) else "Nothing was measured on it.")
            return 0
        measured = calibrate(chosen.gpu)
        calibration.save(measured)
        print(_told(measured))
        print(f"Kept in {calibration.folder()}; estimates for this GPU (live:…) use it while the driver stays.")
        return 0
    except HardwareError as error:
        print(json.dumps(error.as_dict(), indent=2))
        return 2


def _list() -> int:
    kept = calibration.load()
    for one in kept.calibrations:
        print(_told(one))
    if kept.note:
        print(kept.note)
    if not kept.calibrations:
        print("Nothing was measured so far.")
    return 0


def _told(one: calibration.Calibration) -> str:
    low, point, high = (size / MiB for size in one.context_range())
    return (
        f"{one.name}, {one.uuid}\n"
        f"  {one.when}, driver {one.driver}, torch {one.torch}, CUDA {one.cuda}, memcalc {one.tool}\n"
        f"  CUDA context {point:.0f} MiB ({low:.0f} bare, {high:.0f} with as many kernels again)"
        f"{'' if one.by_process else ', from the use of the whole device'}\n"
        f"  cuBLAS workspaces {one.workspace_first / MiB:.1f} MiB, in autograd {one.workspace_second / MiB:.1f} MiB\n"
        f"  allocator segments {one.small_segment / MiB:.0f} and {one.large_segment / MiB:.0f} MiB"
        f"{' (expandable)' if one.expandable else ''}"
    )
