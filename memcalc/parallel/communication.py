"""What the communication library takes outside torch's allocator."""

from __future__ import annotations

from memcalc.scenario.parallel import Parallel
from memcalc.units import MiB

NCCL = (190, 690, 1600)
"""(low, assumed, high) MiB of the first NCCL communicators of a process. One connection takes 4 MiB (Simple) + 0.5 MiB
(LL) + 4.7 MiB (LL128) for each channel and peer [NCCL src/init.cc, src/include/device.h]; two of them and 10 channels
are the low end. Published: 544 MB for a group of two and 688 MB for larger ones on A100s with NVLink (NVIDIA/nccl issue
964), 1.06 GB before and 4.34 GB after the first all-to-all on eight H100 (issue 1685), about 1.6 GB after the first
communicator (issue 864)."""


def nccl(parallel: Parallel, training: bool) -> tuple[int, int, int]:
    """(low, assumed, high) bytes; nothing for one card, or for replicas that only answer, each for itself."""
    if (parallel.cards if training else parallel.tensor) == 1:
        return 0, 0, 0
    return NCCL[0] * MiB, NCCL[1] * MiB, NCCL[2] * MiB


def reason(parallel: Parallel) -> str:
    """The width of the range, in words."""
    return (
        f"communication: {NCCL[1]} MiB assumed for NCCL's buffers, {NCCL[0]} to {NCCL[2]:,} MiB published or computed; "
        "they grow with channels and communicators, and lie outside torch's allocator"
    )
