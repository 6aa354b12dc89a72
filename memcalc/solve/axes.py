"""The fields over which a scenario can be swept: their names, their usual values, how each value is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from memcalc.diffusion import OFFLOADS, PRECISIONS, WEIGHTS, is_pipeline
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.kinds import idle_in, sees
from memcalc.models import catalogue
from memcalc.models.families import SIZES, families, family
from memcalc.scenario.choices import known_values
from memcalc.scenario.paths import Json, get, put
from memcalc.training.optimizers import IMPLEMENTATIONS
from memcalc.units import count

LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LENGTHS = (
    128,
    256,
    512,
    1024,
    1536,
    2048,
    3072,
    4096,
    6144,
    8192,
    12288,
    16384,
    24576,
    32768,
    49152,
    65536,
    98304,
    131072,
)
SIDES = (64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 768, 1024)
"""Pixels a side of what a classifier looks at."""
PICTURES = (256, 512, 768, 1024, 1280, 1536, 2048)
"""Pixels a side of what a pipeline makes."""
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TARGETS = (16, 32, 64, 128, 192, 256, 384, 512, 768, 1024)
"""Tokens that a decoder beside an encoder writes."""
NEW_TOKENS = (1, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def _put(path: str) -> Callable[[Json, Any], Json]:
    return lambda scenario, value: put(scenario, path, value)


def _set_optimizer(scenario: Json, name: Any) -> Json:
    """Another optimizer has its own ways to step and its own options."""
    for path, value in (("optimizer", name), ("optimizer_impl", None), ("optimizer_options", None)):
        scenario = put(scenario, f"training.{path}", value)
    return scenario


@dataclass(frozen=True)
class Axis:
    """One field to sweep over. ``sweeps``: its name in a vectorised sweep, where it has one; ``shown``: names of values
    that are not their own."""

    key: str
    title: str
    path: str
    values: tuple[Any, ...]
    set: Callable[[Json, Any], Json]
    sweeps: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def numeric(self) -> bool:
        return all(isinstance(value, int) and not isinstance(value, bool) for value in self.values)

    def name(self, value: Any) -> str:
        """A value as people read it."""
        if isinstance(value, Mapping):
            return count(value["parameters"])
        return self.shown.get(str(value), f"{value:,}" if isinstance(value, int) else str(value))


def axes(scenario: Mapping[str, Any]) -> dict[str, Axis]:
    """Every axis that means something in a scenario and has more than one value, by key."""
    training = (scenario.get("task") or "infer") == "train"
    found = _training(scenario) if training else _inference(scenario)
    if is_pipeline(scenario):
        found = _pictures()
    else:
        idle = idle_in(scenario)
        found = [one for one in found if one.path not in idle]
    model = _model(scenario)
    return {one.key: one for one in (*found, *([model] if model else [])) if len(one.values) > 1}


def axis(scenario: Mapping[str, Any], key: str) -> Axis:
    """The axis called ``key``; ScenarioError with the choices if there is none."""
    known = axes(scenario)
    if key not in known:
        raise ScenarioError(f"a sweep cannot run over {key[:60]!r} here", "axis", list(known))
    return known[key]


def _choice(key: str, title: str, path: str) -> Axis:
    return Axis(key, title, path, known_values(path), _put(path))


def _set_side(scenario: Json, value: Any) -> Json:
    """Square pictures of this side."""
    for name in ("width", "height"):
        scenario = put(scenario, f"inference.{name}", value)
    return scenario


def _pictures() -> list[Axis]:
    """What an image pipeline can be swept over, one estimate a point."""
    return [
        Axis("batch", "prompts at once", "batch", LADDER[:8], _put("batch")),
        Axis("images", "pictures a prompt", "inference.images", LADDER[:8], _put("inference.images")),
        Axis("side", "pixels a side", "inference.width", PICTURES, _set_side),
        Axis("precision", "precision", "precision", PRECISIONS, _put("precision")),
        Axis("offload", "weights on the card", "inference.offload", OFFLOADS, _put("inference.offload")),
        Axis("weights", "format of the denoiser's weights", "inference.weights", WEIGHTS, _put("inference.weights")),
    ]


def _training(scenario: Mapping[str, Any]) -> list[Axis]:
    what = "pictures" if sees(scenario) else "sequences"
    found = [
        Axis("batch", f"{what} in a micro-batch", "batch", LADDER, _put("batch"), "batch"),
        Axis("side", "pixels a side", "image_size", SIDES, _put("image_size")),
        Axis("seq_len", "tokens per sequence", "seq_len", LENGTHS, _put("seq_len"), "seq_len"),
        Axis("target", "tokens the decoder writes", "target_len", TARGETS, _put("target_len")),
        _choice("precision", "precision", "precision"),
        Axis("optimizer", "optimizer", "training.optimizer", tuple(IMPLEMENTATIONS), _set_optimizer),
        _choice("checkpointing", "checkpointing", "training.checkpointing"),
        _choice("method", "what is trained", "training.method"),
    ]
    if get(scenario, "training.method") in ("lora", "qlora", "dora"):
        found.append(Axis("rank", "LoRA rank", "training.lora.r", RANKS, _put("training.lora.r")))
    return found


def _inference(scenario: Mapping[str, Any]) -> list[Axis]:
    prompt, new = "inference.prompt_tokens", "inference.new_tokens"
    return [
        Axis(
            "batch", f"{'pictures' if sees(scenario) else 'sequences'} at once", "batch", LADDER, _put("batch"), "batch"
        ),
        Axis("side", "pixels a side", "image_size", SIDES, _put("image_size")),
        Axis("context", "prompt tokens", prompt, LENGTHS, _put(prompt), "prompt_tokens"),
        Axis("new", "new tokens", new, NEW_TOKENS, _put(new), "new_tokens"),
        Axis("precision", "precision", "precision", ("fp32", "fp16", "bf16"), _put("precision")),
        _choice("weights", "format of the weights", "inference.weights"),
        _choice("cache", "format of the cache", "inference.kv_cache"),
    ]


def _model(scenario: Mapping[str, Any]) -> Axis | None:
    """The models of the family, or sizes."""
    model = scenario.get("model")
    if isinstance(model, Mapping):
        sizes = tuple({"parameters": size} for size in SIZES[::3])
        return Axis("model", "parameters", "model", sizes, _put("model")) if "parameters" in model else None
    try:
        return Axis("model", "model", "model", families()[family(catalogue.find(str(model)).name)], _put("model"))
    except (MemcalcError, KeyError):
        return None
