"""Every storage of a run on fake tensors, from the operation that makes it to the death of its last holder.

The fake GPU is torch's ``meta`` device: tensors with shapes, strides and formats but no data, run by the same
autograd engine, dispatcher and reference counts as real ones. A new untyped storage among an operation's
outputs is an allocation; the moment its last holder lets go (a weak reference dies) is the free. Tensors on the
``cpu`` device are host memory and are not counted (optimizers keep their step counters there, for example).

Sizes are bytes, rounded up to 512 as torch's CUDA caching allocator does (c10/core/AllocatorConfig.h,
``kMinBlockSize``); empty storages take nothing.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK = 512
"""Smallest unit of torch's CUDA caching allocator, bytes."""

# A storage's component is decided by the strongest claim that is ever made on it.
# Inputs are counted as temporary in the end, also when autograd saves them.
STRENGTH = {"temporary": 0, "kv_cache": 1, "activations": 2, "gradients": 3, "optimizer": 4, "weights": 5, "inputs": 6}


def rounded(size: int) -> int:
    """``size`` bytes as the allocator hands them out: up to the next multiple of 512; 0 stays 0."""
    return -(-size // BLOCK) * BLOCK


class StorageRecord:
    """One storage: who made it, how large it is, what it turned out to be for."""

    __slots__ = (
        "born",
        "component",
        "died",
        "dtype",
        "id",
        "module",
        "node",
        "op",
        "phase",
        "requested",
        "shape",
        "size",
    )

    def __init__(
        self, id: int, tensor: torch.Tensor, requested: int, op: str, node: str, module: str, phase: str, born: int
    ):
        self.id = id
        self.requested = requested
        self.size = rounded(requested)
        self.shape = tuple(tensor.shape)
        self.dtype = str(tensor.dtype).removeprefix("torch.")
        self.op = op
        self.node = node
        self.module = module
        self.phase = phase
        self.born = born
        self.died: int | None = None
        self.component = "temporary"


class Ledger(TorchDispatchMode):  # type: ignore[misc]  # torch is optional and untyped here
    """Records births and deaths of storages while it is entered; also mends two habits of torch's dispatch modes.

    * The autograd engine sums two gradients in place when it alone holds the first of them and that one is not a
      view (torch/csrc/autograd/input_buffer.cpp, ``can_accumulate_inplace``). Under any dispatch mode it refuses
      to; ``_engine_sum`` puts the in-place sum back under the same conditions.
    * A value read from the fake GPU (``.item()``, ``if mask.all():``) has no data; it reads as zero or as
      ``truth``, false by default: what a padded mask answers when it is asked whether it is all ones.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self.tell = tell
        self.records: list[StorageRecord] = []
        self.events: list[tuple[int, int]] = []  # (signed bytes, storage id); the index is the time
        self.marks: list[tuple[str, int]] = []  # (phase name, time at which it starts)
        self.module_stack: list[str] = []
        self.truth = False  # what a yes-or-no question to the fake GPU is answered with
        self._live: dict[int, tuple[weakref.ref[Any], StorageRecord]] = {}
        self._ids = itertools.count()

    # -- what the run says ------------------------------------------------------------------------------------
    def phase(self, name: str) -> None:
        """From here on the run is in phase ``name``."""
        self.marks.append((name, len(self.events)))
        if self.tell is not None:
            self.tell(name)

    def adopt(self, tensors: Iterable[torch.Tensor], component: str, op: str) -> None:
        """Count tensors made before the ledger was entered (parameters, buffers, optimizer states)."""
        for tensor in tensors:
            self._see(tensor, op, "")
            self.claim(tensor, component)

    def claim(self, tensor: torch.Tensor, component: str) -> None:
        """Say what a tensor's storage is for; a stronger claim wins over a weaker one."""
        if tensor.device.type != "meta":
            return
        entry = self._live.get(tensor.untyped_storage()._cdata)
        if entry is not None and STRENGTH[component] > STRENGTH[entry[1].component]:
            entry[1].component = component

    # -- what torch says --------------------------------------------------------------------------------------
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and look at the storages among its outputs."""
        kwargs = kwargs or {}
        if func is _ADD and _engine_sum(args, kwargs):
            _ADD_(args[0], args[1])
            return args[0]
        if func is _EQUAL and args[0].device.type == "meta":
            return self.truth
        if func is _ITEM and args[0].device.type == "meta":
            return self.truth if args[0].dtype is torch.bool else _nothing(args[0].dtype)
        if (
            func is _TO_COPY
            and args[0].device.type == "meta"
            and torch.device(kwargs.get("device") or "meta").type == "cpu"
        ):
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        out = func(*args, **kwargs)
        if isinstance(out, torch.Tensor):
            self._see(out, func, None)
        elif out is not None:
            for leaf in tree_leaves(out):
                if isinstance(leaf, torch.Tensor):
                    self._see(leaf, func, None)
        return out

    def _see(self, tensor: torch.Tensor, func: Any, node: str | None) -> None:
        if tensor.device.type != "meta":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live:
            return
        requested = storage.nbytes()
        if not requested:
            return
        if node is None:
            current = torch._C._current_autograd_node()
            node = "" if current is None else current.name()
        module = self.module_stack[-1] if self.module_stack else ""
        record = StorageRecord(
            next(self._ids),
            tensor,
            requested,
            str(func).removeprefix("aten."),
            node,
            module,
            self.marks[-1][0] if self.marks else "",
            len(self.events),
        )

        def free(_: weakref.ref[Any]) -> None:
            # The key may be reused by torch as soon as the storage is gone.
            self._live.pop(key, None)
            record.died = len(self.events)
            self.events.append((-record.size, record.id))

        self._live[key] = (weakref.ref(storage, free), record)
        self.records.append(record)
        self.events.append((record.size, record.id))

    def close(self) -> None:
        """Stop listening to deaths: what happens after the run is not part of it."""
        self._live.clear()


_ADD = torch.ops.aten.add.Tensor
_ADD_ = torch.ops.aten.add_.Tensor
_EQUAL = torch.ops.aten.equal.default
_ITEM = torch.ops.aten._local_scalar_dense.default
_TO_COPY = torch.ops.aten._to_copy.default

# Reference counts of a tensor and its storage inside a dispatch mode when the engine holds the only reference:
# one for the engine's buffer and three for the call on its way through Python; one for the tensor and one for
# the Python object made by asking for the storage. Checked by tests/test_trace.py.
_SOLE_TENSOR = 4
_SOLE_STORAGE = 2


def _engine_sum(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether this addition is the autograd engine's sum of two gradients that a real run does in place."""
    if kwargs or len(args) != 2 or torch.is_grad_enabled() or torch._C._current_autograd_node() is None:
        return False
    first, second = args
    return (
        isinstance(first, torch.Tensor)
        and isinstance(second, torch.Tensor)
        and first.device.type == second.device.type == "meta"
        and first.shape == second.shape
        and first.dtype == second.dtype
        and first._use_count() == _SOLE_TENSOR
        and torch._C._storage_Use_Count(first.untyped_storage()._cdata) == _SOLE_STORAGE
        and _dense(first)
    )


def _dense(tensor: torch.Tensor) -> bool:
    """Whether the elements fill a stretch of memory without holes or overlaps, in any order of the axes."""
    expected = 1
    for stride, size in sorted(
        (stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size != 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def _nothing(dtype: torch.dtype) -> int | float:
    return 0.0 if dtype.is_floating_point else 0
