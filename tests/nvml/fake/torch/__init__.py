"""As much of torch as ``memcalc.hardware.measure`` uses, over the stand-in for NVML instead of a GPU.

Its memory is kept as torch keeps it: sizes rounded up to 512 bytes, segments of 2 MiB for small tensors and 20 MiB for
larger ones, a cuBLAS workspace of 8 MiB + 128 KiB for each thread that multiplies. What the process holds (segments
and a context of 300 MiB, 430 MiB once a training step has loaded its kernels) is written where the stand-in reads it.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

MIB = 2**20
WORKSPACE = 8 * MIB + 128 * 1024
__version__ = "2.99.0+fake"
version = types.SimpleNamespace(cuda="13.0")
uint8, bfloat16 = 1, 2  # bytes each


_State = types.SimpleNamespace(allocated=0, small=0, large=0, context=0, room={"small": 0, "large": 0}, threads=set())


def _take(size: int) -> None:
    size = -(-size // 512) * 512
    _State.context = _State.context or 300 * MIB
    kind, segment = ("small", 2 * MIB) if size <= MIB else ("large", 20 * MIB)
    if _State.room[kind] < size:
        setattr(_State, kind, getattr(_State, kind) + segment)
        _State.room[kind] += segment
    _State.room[kind] -= size
    _State.allocated += size
    _tell()


def _tell() -> None:
    """What this process holds, for the driver to show; ``FAKE_TORCH_HIDDEN``: as in a container, under no name."""
    path = Path(os.environ["NVML_STAND_IN"])
    held = _State.context + _State.small + _State.large
    lines = dict(line.split("=", 1) for line in path.read_text().splitlines())
    total, reserved = int(lines["gpu0.total"]), int(lines["gpu0.reserved"])
    used = 1008 * MIB + held
    lines |= {"gpu0.used": str(used), "gpu0.free": str(total - reserved - used)}
    if not os.environ.get("FAKE_TORCH_HIDDEN"):
        lines["gpu0.processes"] = f"4242:{1000 * MIB},{os.getpid()}:{held}"
    path.with_suffix(".torch").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    path.with_suffix(".torch").replace(path)


class Tensor:
    def __init__(self, *shape: int, size: int = 4) -> None:
        self.bytes = size
        for length in shape:
            self.bytes *= length
        _take(self.bytes)

    def __matmul__(self, other: Tensor) -> Tensor:
        _multiplied("forward")
        return Tensor(self.bytes, size=1)

    def backward(self) -> None:
        _multiplied("autograd")
        _take(64 * 64 * 2)  # the gradient

    def sum(self) -> Tensor:
        return Tensor(1, size=2)

    def float(self) -> Tensor:
        return self

    def pow(self, _power: int) -> Tensor:
        return self

    def mean(self) -> Tensor:
        return self


def _multiplied(thread: str) -> None:
    if thread not in _State.threads:
        _State.threads.add(thread)
        _take(WORKSPACE)


def empty(*shape: int, dtype: int = 4, device: str = "") -> Tensor:
    assert device == "cuda"
    return Tensor(*shape, size=dtype)


def ones(*shape: int, dtype: int = 4, device: str = "", requires_grad: bool = False) -> Tensor:
    return empty(*shape, dtype=dtype, device=device)


class _Layer:
    def __init__(self, *_sizes: int, **_settings: Any) -> None:
        self.weights = Tensor(700_000, size=2)

    def parameters(self) -> list[Tensor]:
        return [self.weights]

    def __call__(self, data: Tensor) -> Tensor:
        _State.context = 430 * MIB  # more kernels are loaded
        _tell()
        return data


class _AdamW:
    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters

    def step(self) -> None:
        pass

    def zero_grad(self, set_to_none: bool) -> None:
        pass


nn = types.SimpleNamespace(TransformerEncoderLayer=_Layer)
optim = types.SimpleNamespace(AdamW=_AdamW)


def _available() -> bool:
    if os.environ.get("FAKE_TORCH_HANGS"):
        import time

        time.sleep(60)
    return not os.environ.get("FAKE_TORCH_BLIND")


cuda = types.SimpleNamespace(
    is_available=_available,
    synchronize=lambda: None,
    memory_reserved=lambda: _State.small + _State.large,
    memory_allocated=lambda: _State.allocated,
)
sys.modules.update({"torch.cuda": cuda, "torch.nn": nn, "torch.optim": optim})  # type: ignore[dict-item]
