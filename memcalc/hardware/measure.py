"""Measures one device, in a process of its own: ``python -m memcalc.hardware.measure UUID`` (needs torch with CUDA).

The process sees only that device (CUDA_VISIBLE_DEVICES is its UUID), prints one line of JSON and ends, and with it
everything that it held. ``memcalc.hardware.calibrate`` starts it and checks what it says.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from memcalc.hardware import nvml
from memcalc.hardware.live import LiveGpu
from memcalc.units import MiB

BLOCK = 512
"""Bytes that torch's caching allocator rounds sizes up to [c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize]."""
SIDE = 64
WIDTH, HEADS, TOKENS = 256, 4, 128


class Device:
    """The device as NVML sees it from this process."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        before = self.now()
        if before is None or before.used is None:
            raise RuntimeError("the driver does not tell how much of this device is used")
        self.before = before.used
        self.by_process = False

    def now(self) -> LiveGpu | None:
        return next((gpu for gpu in nvml.read().gpus if gpu.uuid == self.uuid), None)

    def held(self) -> int:
        """Bytes that this process holds: the driver's figure for it, or how much more of the device is used than
        before (others on it then disturb the measurement; in containers process numbers do not match)."""
        now = self.now()
        if now is None or now.used is None:
            raise RuntimeError("the device was lost")
        own = [one.memory for one in now.processes or () if one.pid == os.getpid() and one.memory]
        self.by_process = bool(own)
        return own[0] if own else now.used - self.before


def measure(uuid: str, torch: Any) -> dict[str, Any]:
    """The figures of a ``Calibration`` that are measured; sizes in bytes."""
    device = Device(uuid)
    cuda = torch.cuda
    if not cuda.is_available():
        raise RuntimeError("this torch cannot use CUDA here")
    held = [torch.empty(1, device="cuda")]
    cuda.synchronize()
    small = cuda.memory_reserved()
    bare = device.held() - small
    held.append(torch.empty(2 * MiB, dtype=torch.uint8, device="cuda"))
    large = cuda.memory_reserved() - small
    first, second = _workspaces(torch)
    _step(torch)
    cuda.synchronize()
    loaded = device.held() - cuda.memory_reserved()
    return {
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda),
        "context_bare": bare,
        "context": max(bare, loaded),
        "workspace_first": first,
        "workspace_second": second,
        "small_segment": small,
        "large_segment": large,
        "by_process": device.by_process,
    }


def _workspaces(torch: Any) -> tuple[int, int]:
    """What the allocator hands out for cuBLAS with the first matrix product, and with autograd's first one (its
    thread has a handle of its own). Results are taken off: bf16 matrices of SIDE x SIDE."""
    allocated = torch.cuda.memory_allocated
    one = torch.ones(SIDE, SIDE, dtype=torch.bfloat16, device="cuda", requires_grad=True)
    other = torch.ones(SIDE, SIDE, dtype=torch.bfloat16, device="cuda")
    result = -(-SIDE * SIDE * 2 // BLOCK) * BLOCK
    start = allocated()
    product = one @ other
    torch.cuda.synchronize()
    first = allocated() - start - result
    loss = product.sum()
    start = allocated()
    loss.backward()
    torch.cuda.synchronize()
    second = allocated() - start - result  # the gradient of ``one``
    return max(0, first), max(0, second)


def _step(torch: Any) -> None:
    """Two small training steps of a transformer layer: loads the kernels of attention, products, norms and AdamW."""
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, batch_first=True, dtype=torch.bfloat16, device="cuda")
    optimizer = torch.optim.AdamW(layer.parameters())
    data = torch.ones(2, TOKENS, WIDTH, dtype=torch.bfloat16, device="cuda")
    for _ in range(2):
        layer(data).float().pow(2).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def main() -> int:
    """Print the figures, or {"error": a sentence}."""
    try:
        import torch

        print(json.dumps(measure(sys.argv[1], torch)))
    except ImportError:
        print(json.dumps({"error": "torch is not installed here"}))
    except Exception as error:  # whatever CUDA says goes to the one who asked, as a word and not as a traceback
        print(json.dumps({"error": str(error).strip().splitlines()[0][:300] if str(error) else type(error).__name__}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
