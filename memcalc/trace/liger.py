"""Liger's own Python code on the fake GPU: its Triton kernels are not launched.

A Triton kernel works on tensors that Python made before it, and allocates nothing itself; so everything that torch's
allocator sees is in the Python around the launches. Where that asks whether a tensor is on a CUDA device, the fake GPU
has to count as one: the sources of ``liger_kernel.ops`` are read with its name in place of CUDA's.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import torch

from memcalc.errors import ModelError
from memcalc.trace.recipe import Recipe

MULTIPROCESSORS = 108
"""Of the card that is meant (A100), as in ``memcalc.tensors.ops.fused``."""


_BEFORE: list[tuple[ModuleType, dict[str, Any]]] = []
"""Modules of model code that were patched, as they were."""


class _Loader(importlib.machinery.SourceFileLoader):
    """Reads a module's source with the fake GPU's name in place of CUDA's."""

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).replace(b'"cuda"', b'"meta"')
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if not fullname.startswith("liger_kernel.ops"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


def wanted(recipe: Recipe) -> bool:
    """Whether anything of Liger's is asked for."""
    return recipe.task == "train" and (recipe.liger or recipe.fused_loss)


@contextlib.contextmanager
def kernels(recipe: Recipe) -> Iterator[None]:
    """Liger can be imported and used on the fake GPU while entered; what it patched is put back at the end."""
    if not wanted(recipe):
        yield
        return
    try:
        jit, autotuner = (importlib.import_module(f"triton.runtime.{name}") for name in ("jit", "autotuner"))
    except ImportError as error:
        raise ModelError("tracing Liger needs the packages liger-kernel and triton", "training.liger") from error
    finder = _Finder()
    _forget()
    sys.meta_path.insert(0, finder)
    patched: list[tuple[Any, str, Any]] = []
    try:
        for owner in (jit.JITFunction, autotuner.Autotuner, autotuner.Heuristics):
            patched.append((owner, "run", owner.run))
            owner.run = _not_launched
        for name, value in (("get_device_capability", _capability), ("get_device_properties", _properties)):
            patched.append((torch.cuda, name, getattr(torch.cuda, name)))
            setattr(torch.cuda, name, value)
        yield
    finally:
        for owner, name, value in reversed(patched):
            setattr(owner, name, value)
        sys.meta_path.remove(finder)
        while _BEFORE:
            module, held = _BEFORE.pop()
            vars(module).update(held)
        _forget()


def apply(model: torch.nn.Module, recipe: Recipe) -> None:
    """Put Liger's kernels into ``model``, as transformers' Trainer does."""
    try:
        monkey_patch = importlib.import_module("liger_kernel.transformers.monkey_patch")
    except ImportError as error:
        raise ModelError("tracing Liger needs the packages liger-kernel and triton", "training.liger") from error
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise ModelError(f"Liger has no kernels for {kind}", "training.liger")
    code = sys.modules[type(model).__module__]
    _BEFORE.append((code, dict(vars(code))))
    parts = dict.fromkeys(("rope", "rms_norm", "swiglu", "geglu", "layer_norm"), recipe.liger)
    monkey_patch._apply_liger_kernel_to_instance(
        model, **parts, cross_entropy=False, fused_linear_cross_entropy=recipe.fused_loss
    )


def _forget() -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "liger_kernel"]:
        del sys.modules[name]


def _not_launched(self: object, *args: object, **kwargs: object) -> None:
    """In place of a launch."""


def _capability(device: Any = None) -> tuple[int, int]:
    return (8, 0)


def _properties(device: Any = None) -> SimpleNamespace:
    return SimpleNamespace(multi_processor_count=MULTIPROCESSORS, major=8, minor=0)
