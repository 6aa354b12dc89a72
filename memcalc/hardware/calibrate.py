"""Has a device measured in a separate process, and checks the result: ``python -m memcalc calibrate``."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memcalc.errors import HardwareError
from memcalc.hardware.calibration import Calibration, checked
from memcalc.hardware.live import FIELD, LiveGpus, choose
from memcalc.hardware.worker import read_within

PATIENCE = 180.0
"""Seconds for the whole measurement; starting torch on a cold disk takes most of them."""


def possible() -> bool:
    """Whether torch is installed (whether it can use CUDA shows when it is tried)."""
    return importlib.util.find_spec("torch") is not None


def calibrate(name: str, reading: LiveGpus | None = None, patience: float = PATIENCE) -> Calibration:
    """Measure the device that ``name`` (``live:0``, ``live:GPU-…``) means. It takes up to 1 GiB of it for a few
    seconds. HardwareError says what is in the way. Nothing is kept: see ``memcalc.hardware.calibration.save``."""
    reading = reading or read_within()
    gpu = choose(reading, name)
    if gpu.uuid is None or reading.driver is None:
        raise HardwareError(f"{name}: the driver does not tell its UUID, so a measurement could not be kept", FIELD)
    said = _run(gpu.uuid, patience)
    if "error" in said:
        raise HardwareError(f"{name} could not be measured: {str(said['error'])[:300]}", FIELD)
    from memcalc import __version__

    about = {"uuid": gpu.uuid, "name": gpu.name, "driver": reading.driver, "tool": __version__}
    return checked({**said, **about, "when": datetime.now(UTC).date().isoformat()})


def _run(uuid: str, patience: float) -> dict[str, Any]:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), root)))
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": uuid}
    command = (sys.executable, "-m", "memcalc.hardware.measure", uuid)
    try:
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return {"error": f"no result within {patience:g} seconds"}
    try:
        said = json.loads(ran.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": f"the measuring process ended without a result (status {ran.returncode})"}
    return said if isinstance(said, dict) else {"error": "the measuring process said something else"}
