"""CUDA's rules on the fake GPU: what torch decides by asking a tensor whether it lives on a CUDA device.

The fake GPU is the ``meta`` device, so torch would take its generic paths there. The few operations where CUDA
differs in the tensors it makes are registered anew for that device, below autocast and above autograd, so that
calls from Python and from inside torch both meet them.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from memcalc.trace import autocast
from memcalc.trace.attention import attention_rule

aten = torch.ops.aten
_AUTOGRAD = "AutogradMeta"


def _dropout(input: torch.Tensor, p: float, train: bool) -> torch.Tensor:
    """Fused dropout: output and a boolean mask (aten/src/ATen/native/Dropout.cpp, is_fused_kernel_acceptable)."""
    if p == 0 or not train or input.numel() == 0:
        return input
    if p == 1:
        return input.mul(torch.zeros([], dtype=input.dtype, device=input.device))
    return aten.native_dropout(input, p, train)[0]


def _softmax_rule(fused: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """softmax and log_softmax: fp16 to fp32 happens inside CUDA's kernel (SoftMax.cpp, half_to_float)."""

    def rule(input: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        if input.dtype is torch.float16 and dtype is torch.float32:
            return fused(input, dim, True)
        return fused(input if dtype is None else input.to(dtype), dim, False)

    return rule


def _nothing_new(*args: object, **kwargs: object) -> None:
    """A fused optimizer kernel that torch has no fake for: it works in place and allocates nothing."""


@contextlib.contextmanager
def cuda_rules(attention: str, on_autocast_copy: Callable[[torch.Tensor], None]) -> Iterator[dict[str, int]]:
    """CUDA's behaviour for fake GPU tensors while entered; yields the counts of attention kernels taken.

    ``attention``: the first choice of kernel (flash, efficient, math). ``on_autocast_copy`` is told of every
    16-bit copy of a weight that autocast keeps.
    """
    chosen: dict[str, int] = {}
    cache = autocast.WeightCache(on_autocast_copy)
    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            # torch says once that a kernel is being replaced; that is the purpose.
            warnings.simplefilter("ignore")
            _install(library, attention, chosen)
            autocast.install(library, cache)
        with autocast.reachable(cache), _device_names():
            yield chosen
    finally:
        library._destroy()


def _install(library: torch.library.Library, attention: str, chosen: dict[str, int]) -> None:
    for name, rule in (
        ("dropout", _dropout),
        ("softmax.int", _softmax_rule(aten._softmax)),
        ("log_softmax.int", _softmax_rule(aten._log_softmax)),
        ("scaled_dot_product_attention", attention_rule(attention, chosen)),
    ):
        library.impl(name, rule, _AUTOGRAD, allow_override=True)
    for name in ("_fused_sgd_", "_fused_sgd_.tensor_lr"):
        library.impl(name, _nothing_new, "Meta", allow_override=True)


@contextlib.contextmanager
def _device_names() -> Iterator[None]:
    """Where torch's Python code compares device names, let the fake GPU count as one with all kernels."""
    import torch.optim
    import torch.utils._foreach_utils

    def fused() -> list[str]:
        return ["cuda", "meta"]

    patched: list[tuple[object, str, object]] = []

    def patch(owner: object, name: str, value: object) -> None:
        patched.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    users = ("torch.optim.", "torch.utils._foreach_utils")
    for module in [m for name, m in sys.modules.items() if name.startswith(users)]:
        for name in ("_get_fused_kernels_supported_devices", "_get_foreach_kernels_supported_devices"):
            if hasattr(module, name):
                patch(module, name, fused)
    # Model code asks autocast by the device name of its tensors; without a name it is CUDA that is meant.
    for name in ("is_autocast_enabled", "get_autocast_dtype"):
        original = getattr(torch, name)
        patch(torch, name, lambda device="cuda", _o=original: _o(_autocast_name(device)))
    before_init = torch.autocast.__init__

    def init(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        before_init(self, _autocast_name(device_type), *args, **kwargs)

    patch(torch.autocast, "__init__", init)
    try:
        yield
    finally:
        for owner, name, value in reversed(patched):
            setattr(owner, name, value)


def _autocast_name(device: str) -> str:
    return autocast.DEVICE if device in ("meta", "cuda") else device
