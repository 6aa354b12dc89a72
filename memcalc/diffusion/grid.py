"""Image pipelines over a grid: one estimate a point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memcalc.components import COMPONENTS
from memcalc.diffusion.answer import estimate_pipeline
from memcalc.errors import ScenarioError
from memcalc.hardware.fit import Device
from memcalc.scenario.paths import put
from memcalc.scenario.settings import Hardware

Grid = NDArray[np.int64]
AXES = {"batch": "batch", "image_size": "image_size", "text_len": "text_len", "images": "inference.images",
        "width": "inference.width", "height": "inference.height"}  # fmt: skip
"""Names of the axes, and the scenario's fields."""
MOST_POINTS = 10_000
"""An estimate takes some milliseconds."""


def over(
    scenario: Mapping[str, Any], device: Callable[[Hardware], Device | None], axes: Mapping[str, Sequence[int]]
) -> dict[str, Grid]:
    """``tensors``, ``allocated``, ``reserved``, ``device``, ``low`` and ``high`` of the device, and every component at
    the highest instant, in bytes, over the outer product of ``axes``."""
    for name, values in axes.items():
        if name not in AXES:
            raise ScenarioError(f"a sweep of an image pipeline cannot run over {name}", name, list(AXES))
        if not len(values):
            raise ScenarioError(f"the axis {name} is empty", name)
    if not axes:
        raise ScenarioError("a sweep needs at least one axis", "", list(AXES))
    shape = tuple(len(values) for values in axes.values())
    if int(np.prod(shape, dtype=object)) > MOST_POINTS:
        raise ScenarioError(f"a sweep of an image pipeline has at most {MOST_POINTS:,} points", next(iter(axes)))
    names = ("tensors", "allocated", "reserved", "device", "low", "high", *COMPONENTS)
    found = {name: np.zeros(shape, np.int64) for name in names}
    for place in np.ndindex(*shape):
        point = dict(scenario)
        for (name, values), index in zip(axes.items(), place, strict=True):
            value = values[index]
            point = put(point, AXES[name], int(value) if isinstance(value, np.integer) else value)
        one = estimate_pipeline(point, device)
        for name in ("tensors", "allocated", "reserved", "device"):
            found[name][place] = one["peak"][name]
        found["low"][place], found["high"][place] = one["range"]["device"]
        for name in COMPONENTS:
            found[name][place] = one["at_peak"][name]
    return found
