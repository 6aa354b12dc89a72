"""CUDA's autocast rules on the fake GPU: which operations run in 16 bits, which in fp32, and the weight cache.

Source: aten/src/ATen/autocast_mode.h (the AT_FORALL_ lists) and autocast_mode.cpp (cached_cast).
The rules are installed under the dispatch key that ``torch.autocast("cpu")`` switches, since the fake GPU has none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

KEY = torch._C.DispatchKey.AutocastCPU
DEVICE = "cpu"
"""The device name whose autocast switch the fake GPU uses."""

LOWER = frozenset(
    [
        "_convolution",
        "_convolution.deprecated",
        "_scaled_dot_product_flash_attention",
        "_thnn_fused_gru_cell",
        "_thnn_fused_lstm_cell",
        "addbmm",
        "addmm",
        "addmv",
        "addr",
        "baddbmm",
        "bmm",
        "chain_matmul",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_tbc",
        "conv_transpose1d",
        "conv_transpose2d.input",
        "conv_transpose3d.input",
        "convolution",
        "cudnn_convolution",
        "cudnn_convolution_transpose",
        "einsum",
        "gru_cell",
        "linalg_multi_dot",
        "linalg_vecdot",
        "linear",
        "lstm_cell",
        "matmul",
        "mm",
        "mv",
        "prelu",
        "rnn_relu_cell",
        "rnn_tanh_cell",
        "scaled_dot_product_attention",
    ]
)
PROMOTE = frozenset(
    [
        "addcdiv",
        "addcmul",
        "atan2",
        "bilinear",
        "cross",
        "dot",
        "grid_sampler",
        "index_put",
        "scatter_add",
        "tensordot",
        "vdot",
    ]
)
SET_DTYPE = frozenset(
    [
        "cumprod",
        "cumsum",
        "linalg_matrix_norm",
        "linalg_matrix_norm.str_ord",
        "linalg_vector_norm",
        "log_softmax.int",
        "prod",
        "prod.dim_int",
        "softmax.int",
        "sum",
        "sum.dim_IntList",
    ]
)
APPEND_DTYPE = {"norm.Scalar": "norm.ScalarOpt_dtype", "norm.ScalarOpt_dim": "norm.ScalarOpt_dim_dtype"}
Arguments = tuple[Any, ...]
Keywords = dict[str, Any]
REFUSED = frozenset({"binary_cross_entropy"})
# Everything else that CUDA's autocast knows runs in fp32.


def _eligible(t: Any) -> bool:
    return (
        isinstance(t, torch.Tensor)
        and t.device.type == "meta"
        and t.is_floating_point()
        and t.dtype is not torch.float64
    )


class WeightCache:
    """The 16-bit copies of fp32 leaves that autocast makes once and keeps until its outermost region ends.

    ``on_copy`` is told of every new copy.
    """

    def __init__(self, on_copy: Callable[[torch.Tensor], None]) -> None:
        self.on_copy = on_copy
        self._copies: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def clear(self) -> None:
        """Drop all copies, as the exit of the outermost autocast region does."""
        self._copies.clear()

    def cast(self, t: Any, dtype: torch.dtype) -> Any:
        """``t`` in ``dtype``; fp32 leaves that need a gradient come from the cache."""
        if isinstance(t, (list, tuple)):
            return type(t)(self.cast(item, dtype) for item in t)
        if not _eligible(t) or t.dtype is dtype:
            return t
        cacheable = (
            dtype is torch.get_autocast_dtype(DEVICE)
            and t.dtype is torch.float32
            and t.requires_grad
            and t.is_leaf
            and not t._is_view()
            and torch.is_autocast_cache_enabled()
        )
        if not cacheable:
            return t.to(dtype)
        if id(t) not in self._copies:
            self._copies[id(t)] = (t, t.to(dtype))
            self.on_copy(self._copies[id(t)][1])
        return self._copies[id(t)][1]


def _kernel(name: str, op: Any, cache: WeightCache) -> Callable[..., Any]:
    without_autocast = torch._C.DispatchKeySet(KEY)
    arguments = [a.name for a in op._schema.arguments]

    def lower(args: Arguments, kwargs: Keywords) -> Any:
        to = torch.get_autocast_dtype(DEVICE)
        return op(*cache.cast(args, to), **{k: cache.cast(v, to) for k, v in kwargs.items()})

    def single(args: Arguments, kwargs: Keywords) -> Any:
        return op(*cache.cast(args, torch.float32), **{k: cache.cast(v, torch.float32) for k, v in kwargs.items()})

    def promote(args: Arguments, kwargs: Keywords) -> Any:
        floats = [t for t in torch.utils._pytree.tree_leaves((args, kwargs)) if _eligible(t)]
        to = torch.float32 if any(t.dtype is torch.float32 for t in floats) else torch.get_autocast_dtype(DEVICE)
        return op(*cache.cast(args, to), **{k: cache.cast(v, to) for k, v in kwargs.items()})

    def set_dtype(args: Arguments, kwargs: Keywords) -> Any:
        place = arguments.index("dtype")
        given = kwargs.get("dtype") if len(args) <= place else args[place]
        if given is None and _eligible(args[0]):
            args, kwargs = args[:place], {**kwargs, "dtype": torch.float32}
        return op(*args, **kwargs)

    def append_dtype(args: Arguments, kwargs: Keywords) -> Any:
        if not _eligible(args[0]):
            return op(*args, **kwargs)
        base, overload = APPEND_DTYPE[name].split(".")
        return getattr(getattr(torch.ops.aten, base), overload)(*args, **kwargs, dtype=torch.float32)

    rule = (
        lower
        if name in LOWER
        else promote
        if name in PROMOTE
        else set_dtype
        if name in SET_DTYPE
        else append_dtype
        if name in APPEND_DTYPE
        else single
    )

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(without_autocast):
            return rule(args, kwargs)

    return kernel


def install(library: torch.library.Library, cache: WeightCache) -> None:
    """Register CUDA's rules in ``library``; operations that only the CPU's list has are left alone by autocast."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    for full in sorted(torch._C._dispatch_get_all_op_names()):
        namespace, _, name = full.partition("::")
        if namespace != "aten" or name in REFUSED:
            continue
        if has(full, "AutocastCUDA"):
            base, _, overload = name.partition(".")
            op = getattr(getattr(torch.ops.aten, base), overload or "default")
            library.impl(name, _kernel(name, op, cache), "AutocastCPU", allow_override=True)
        elif has(full, "AutocastCPU"):
            library.impl(name, torch.library.fallthrough_kernel, "AutocastCPU", allow_override=True)


@contextlib.contextmanager
def reachable(cache: WeightCache) -> Iterator[None]:
    """Let the autocast switch reach tensors of the fake GPU, and let the region's end clear the weight cache."""
    clear_before = torch.clear_autocast_cache

    def clear() -> None:
        cache.clear()
        clear_before()

    before = torch._C._dispatch_tls_is_dispatch_key_included(KEY)
    torch._C._dispatch_tls_set_dispatch_key_included(KEY, True)
    torch.clear_autocast_cache = clear
    try:
        yield
    finally:
        torch.clear_autocast_cache = clear_before
        torch._C._dispatch_tls_set_dispatch_key_included(KEY, before)
        cache.clear()
