"""The whole numbers that can be searched: where they are in the scenario, what they are called, how far they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from memcalc.diffusion import is_pipeline
from memcalc.errors import ScenarioError
from memcalc.kinds import LARGEST as LARGEST_SIDE
from memcalc.kinds import SMALLEST as SMALLEST_SIDE
from memcalc.kinds import idle_in
from memcalc.scenario import LARGEST_COUNT
from memcalc.scenario.choices import accepted
from memcalc.scenario.paths import get

LARGEST_RANK = 65_536


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of the scenario, from ``low`` to ``high``. ``axis``: its name in a vectorised sweep, if it has one."""

    path: str
    name: str
    task: str
    high: int = LARGEST_COUNT
    axis: str = ""
    low: int = 1


QUANTITIES = (
    Quantity("batch", "sequences in a micro-batch", "train", axis="batch"),
    Quantity("seq_len", "tokens per sequence", "train", axis="seq_len"),
    Quantity("target_len", "tokens the decoder writes", "train"),
    Quantity("image_size", "pixels a side", "train", LARGEST_SIDE, low=SMALLEST_SIDE),
    Quantity("training.lora.r", "LoRA rank", "train", LARGEST_RANK),
    Quantity("batch", "sequences at once", "infer", axis="batch"),
    Quantity("inference.prompt_tokens", "prompt tokens", "infer", axis="prompt_tokens"),
    Quantity("inference.new_tokens", "new tokens", "infer", axis="new_tokens"),
    Quantity("image_size", "pixels a side", "infer", LARGEST_SIDE, low=SMALLEST_SIDE),
    Quantity("inference.images", "pictures at once", "infer", 4096),
    Quantity("inference.beams", "beams", "infer", 1024),
    Quantity("inference.max_num_seqs", "sequences at once (vLLM)", "infer"),
    Quantity("inference.max_model_len", "context (vLLM)", "infer"),
    Quantity("inference.n_ctx", "context (llama.cpp)", "infer"),
    Quantity("inference.gpu_layers", "layers on the GPU (llama.cpp)", "infer", 4096),
)
_ADAPTERS = ("lora", "qlora", "dora")
_RUNTIMES = {
    "inference.max_num_seqs": "vllm",
    "inference.max_model_len": "vllm",
    "inference.n_ctx": "llama.cpp",
    "inference.gpu_layers": "llama.cpp",
    "inference.new_tokens": "transformers",
    "inference.images": "diffusers",
    "inference.beams": "transformers",
}


def possible(scenario: Mapping[str, Any]) -> tuple[Quantity, ...]:
    """The quantities that mean something in a scenario and that the core understands."""
    if is_pipeline(scenario):
        return tuple(one for one in QUANTITIES if _RUNTIMES.get(one.path) == "diffusers")
    task = scenario.get("task") or "infer"
    runtime = get(scenario, "inference.runtime") or "transformers"
    idle = idle_in(scenario)
    return tuple(
        _named(one, "image_size" not in idle)
        for one in QUANTITIES
        if one.task == task
        and one.path not in idle
        and _RUNTIMES.get(one.path, runtime) == runtime
        and (one.path != "training.lora.r" or get(scenario, "training.method") in _ADAPTERS)
        and (one.path != "inference.beams" or accepted(one.path, 2))
    )


def _named(one: Quantity, pictures: bool) -> Quantity:
    """What a batch is made of."""
    return replace(one, name=one.name.replace("sequences", "pictures")) if pictures else one


def quantity(scenario: Mapping[str, Any], path: str) -> Quantity:
    """The quantity at ``path`` (``"rank"`` and the last part of a path will do); ScenarioError if there is none."""
    found = possible(scenario)
    for one in found:
        if path in (one.path, one.path.rsplit(".", 1)[-1]) or (path == "rank" and one.path == "training.lora.r"):
            return one
    raise ScenarioError(f"{path[:60]!r} cannot be searched here", "field", [one.path for one in found])
