"""Which card a program gets: the driver's order, CUDA's own order, and what CUDA_VISIBLE_DEVICES leaves of it.

NVML (and nvidia-smi, and ``live:0``) counts GPUs along the bus and takes no notice of CUDA_VISIBLE_DEVICES. CUDA
puts the fastest first unless CUDA_DEVICE_ORDER is PCI_BUS_ID, then keeps what CUDA_VISIBLE_DEVICES lists, in that
order [CUDA C++ Programming Guide, CUDA environment variables].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memcalc.hardware.live import LiveGpu

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


@dataclass(frozen=True)
class Order:
    """``cuda`` maps a device's ``LiveGpu.device`` to its number as ``cuda:N``, None where CUDA will not see it.
    Empty where it cannot be told from here; ``said`` is the reason, or what was taken into account."""

    cuda: Mapping[str, int | None]
    said: str


def cuda_order(gpus: Sequence[LiveGpu], environment: Mapping[str, str]) -> Order:
    """What programs started with ``environment`` see as ``cuda:0``, ``cuda:1``, …

    >>> cuda_order([], {}).cuda
    {}
    """
    whole = [gpu for gpu in gpus if not gpu.mig]
    by_bus = environment.get(ORDER, "FASTEST_FIRST").upper() == "PCI_BUS_ID"
    visible = environment.get(VISIBLE)
    if len(whole) < len(gpus):
        return Order({}, "A program sees one MIG device at a time: the one whose UUID CUDA_VISIBLE_DEVICES names.")
    numbered = by_bus or len({gpu.name for gpu in whole}) <= 1
    if visible is None:
        if not numbered:
            return Order({}, f"CUDA numbers the fastest card first, unless {ORDER}=PCI_BUS_ID: choose by UUID.")
        return Order({gpu.device: n for n, gpu in enumerate(whole)}, "CUDA's order is the driver's here.")
    kept, why = _listed(visible, whole, numbered)
    if why:
        return Order({}, why)
    found: dict[str, int | None] = dict.fromkeys((gpu.device for gpu in whole), None)
    found |= {gpu.device: n for n, gpu in enumerate(kept)}
    return Order(found, f"As {VISIBLE}={visible[:80]} says, which this dashboard was started with.")


def _listed(visible: str, gpus: list[LiveGpu], numbered: bool) -> tuple[list[LiveGpu], str]:
    """The devices a CUDA_VISIBLE_DEVICES lists, up to its first entry that means none; and why it cannot be told."""
    kept: list[LiveGpu] = []
    for entry in visible.split(","):
        one = entry.strip()
        if one.startswith("GPU-"):
            found = [gpu for gpu in gpus if (gpu.uuid or "").startswith(one)]
        elif one.isdigit():
            if not numbered:
                return (
                    [],
                    f"{VISIBLE} holds numbers, and CUDA numbers the fastest card first: they cannot be told here.",
                )
            found = gpus[int(one) : int(one) + 1]
        else:
            found = []
        if len(found) != 1:
            break
        if found[0] in kept:
            # A device listed twice makes CUDA see none at all.
            return [], f"{VISIBLE} lists a device twice: CUDA then sees none."
        kept.append(found[0])
    return kept, ""
