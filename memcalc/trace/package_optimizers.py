"""Optimizers of other packages: their own Python code, with stand-ins for what only runs on a real card.

The stand-ins: bitsandbytes' update kernels work in place and allocate nothing [bitsandbytes 0.50 backends/cuda/ops.py,
_optimizer_update_8bit_blockwise_impl, _optimizer_update_32bit_impl]; paged states are managed memory, which torch's
allocator does not see [functional.py, get_paged]; APOLLO's random matrix is drawn without its generator.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from memcalc.errors import ScenarioError
from memcalc.trace.recipe import Recipe

OPTIONAL = {
    # name: (package, its module, class)
    "lion": ("pytorch-optimizer", "pytorch_optimizer", "Lion"),
    "lamb": ("pytorch-optimizer", "pytorch_optimizer", "Lamb"),
    "galore": ("galore-torch", "galore_torch.adamw", "AdamW"),
    "apollo": ("apollo-torch", "apollo_torch", "APOLLOAdamW"),
    "adam-mini": ("adam-mini", "adam_mini", "Adam_mini"),
    "adamw-8bit": ("bitsandbytes", "bitsandbytes.optim", "AdamW8bit"),
    "paged-adamw-8bit": ("bitsandbytes", "bitsandbytes.optim", "PagedAdamW8bit"),
    "paged-adamw-32bit": ("bitsandbytes", "bitsandbytes.optim", "PagedAdamW32bit"),
    "lion-8bit": ("bitsandbytes", "bitsandbytes.optim", "Lion8bit"),
}
"""Optimizers of other packages: traced where those are installed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an optimizer is told of the model: by the parameters' ids, which are matrices of the blocks, and all names;
    the width, the heads and the key heads."""

    hidden: set[int] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    width: int = 0
    heads: int = 1
    key_heads: int = 1


def made(parameters: Sequence[torch.nn.Parameter], recipe: Recipe, facts: Facts, rate: float) -> Any:
    """The optimizer that ``recipe`` names, over ``parameters``."""
    package, module, name = OPTIONAL[recipe.optimizer]
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ScenarioError(f"tracing {recipe.optimizer} needs the package {package}", "training.optimizer") from error
    if package == "pytorch-optimizer":
        return kind(parameters, lr=rate, foreach=recipe.optimizer_impl == "foreach")
    if package == "bitsandbytes":
        return kind(list(parameters), lr=rate)
    if package == "adam-mini":
        named = [(facts.names[id(one)], one) for one in parameters]
        heads = {"dim": facts.width, "n_heads": facts.heads, "n_kv_heads": facts.key_heads}
        return kind(named, lr=rate, verbose=False, **heads)
    rest = [one for one in parameters if id(one) not in facts.hidden]
    low = {
        "params": [one for one in parameters if id(one) in facts.hidden],
        "rank": int(recipe.optimizer_options.get("rank", 128)), "update_proj_gap": 200, "scale": 0.25,
        "proj_type": "std", **({"proj": "random", "scale_type": "channel"} if package == "apollo-torch" else {}),
    }  # fmt: skip
    return kind([*([{"params": rest}] if rest else []), low], lr=rate, no_deprecation_warning=True)


@contextlib.contextmanager
def stand_ins(recipe: Recipe) -> Iterator[None]:
    """In place of kernels, managed memory and generators, while entered."""
    package = OPTIONAL[recipe.optimizer][0] if recipe.task == "train" and recipe.optimizer in OPTIONAL else ""
    found = _REPLACED.get(package, {})
    before: list[tuple[Any, str, Any]] = []
    try:
        for (module, name), value in found.items():
            with contextlib.suppress(ImportError):
                owner = importlib.import_module(module)
                before.append((owner, name, getattr(owner, name)))
                setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def _nothing(*args: object, **kwargs: object) -> None:
    """A kernel that works in place."""


def _managed(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor outside torch's allocator."""
    made = torch.zeros(shape, dtype=dtype, device="cpu")
    made.is_paged = True
    return made


def _drawn(shape: Any, seed: int, device: Any = None, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A random matrix."""
    return torch.randn(shape, device=device, dtype=dtype)


_REPLACED: dict[str, dict[tuple[str, str], Callable[..., Any] | torch.device]] = {
    "apollo-torch": {("apollo_torch.random_projector", "stable_randn"): _drawn},
    "adam-mini": {("adam_mini.adam_mini", "device"): torch.device("meta")},
    "bitsandbytes": {
        ("bitsandbytes.functional", "optimizer_update_8bit_blockwise"): _nothing,
        ("bitsandbytes.functional", "optimizer_update_32bit"): _nothing,
        ("bitsandbytes.functional", "get_paged"): _managed,
        ("bitsandbytes.functional", "fill"): _nothing,
        ("bitsandbytes.functional", "prefetch_tensor"): _nothing,
        ("bitsandbytes.optim.optimizer", "sync_gpu"): _nothing,
    },
}
