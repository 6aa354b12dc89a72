"""What a process holds above its tensors: library workspaces, the allocator's slack, the CUDA context.

Each figure has its source and its share of the range. ``allocated`` is what torch's allocator has handed
out (``torch.cuda.max_memory_allocated``), ``reserved`` what it has taken from the driver, ``device`` what
the driver shows for the process.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.hardware.calibration import Calibration
from memcalc.parallel import communication
from memcalc.scenario import Scenario
from memcalc.tensors.tape import Size
from memcalc.tensors.timeline import largest
from memcalc.units import MiB

WORKSPACE_BEFORE_9 = 4096 * 1024 * 2 + 16 * 1024 * 8
"""Bytes a cuBLAS handle and stream below compute capability 9.0: CUBLAS_WORKSPACE_CONFIG's default
:4096:2:16:8 [aten/src/ATen/cuda/CublasHandlePool.cpp]."""
WORKSPACE_FROM_9 = 32 * MiB
"""The same from compute capability 9.0 on [ibid., torch 2.13]."""

CONTEXT = (
    # from capability, low, assumed, high (MiB)
    (0.0, 250, 320, 500),
    (7.0, 250, 330, 480),
    (8.0, 290, 420, 600),
    (8.6, 270, 340, 560),
    (9.0, 380, 500, 700),
    (10.0, 400, 612, 800),
    (12.0, 280, 340, 600),
)
"""The CUDA context with lazily loaded kernels, by generation. Published: 287 MB (torch 1.13, CUDA 11.7, one small
tensor; pytorch pull request 86509), 300 to 400 MB with lazy loading (pytorch issues 107667, 109888), 314 to 334 MiB
(RTX 5060 Ti with slack), 612 MiB (B200, primary context; unsloth pull request 9362). It grows with the number of
multiprocessors and of kernels loaded; the values between are assumed, not measured."""

BASE = 24 * MiB
"""Bytes of segments that are never full, for each stream that allocates: about one segment of 20 MiB and two of
2 MiB."""
FSDP2_STREAMS = 3
"""The usual one, that of the all-gathers and that of the reduce-scatters."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What the caching allocator's waste depends on, bytes, elementwise over a grid: what changes hands.

    ``swing``: how far a forward pass, prefill or decode step climbs above its start; ``block``: the same of one block
    or the head, in any direction (``stages.moved``); ``gradients``: all of them. Backward puts gradients where
    activations were: the smaller of both has to live in what the other leaves behind, and rarely fits. A block's own
    tensors, of other sizes than what was freed before, rarely fit either.
    """

    swing: Size
    block: Size
    gradients: int


@dataclass(frozen=True, slots=True)
class Waste:
    """Shares that are added to ``allocated``: ``rest`` of all of it (with BASE), ``settled`` of the smaller of the
    gradients and the swing, ``block`` and ``swing`` of these."""

    rest: float
    settled: float = 0.0
    block: float = 0.0
    swing: float = 0.0

    def added_to(self, held: Size, moved: Moved) -> Size:
        """``held`` and the waste, bytes."""
        settled = -largest(-moved.swing, -moved.gradients)
        parts = ((held, self.rest), (settled, self.settled), (moved.block, self.block), (moved.swing, self.swing))
        return held + sum(size * round(share * 1000) for size, share in parts if share) // 1000


SLACK = {
    "train": (Waste(0.005, 0.07, 0.063), Waste(0.019, 0.414, 0.179), Waste(0.054, 0.852, 0.325)),
    "train, checkpointing": (Waste(0.001, 0.064, 0.08), Waste(0.009, 0.264, 0.297), Waste(0.05, 0.55, 0.69)),
    "infer": (Waste(0.0, swing=0.033), Waste(0.005, swing=0.252), Waste(0.079, swing=0.463)),
    "fsdp2": (Waste(0.0), Waste(0.03, block=0.277), Waste(0.096, block=1.004)),
}
"""The 4 %, 50 % and 96 % quantiles of ``reserved`` above what is allocated: quantile regressions over 3,329 scenarios
whose event logs were replayed through a simulated caching allocator (``tests/fit_reserved.py``); 420 more for FSDP2,
whose shares are rougher (its ``rest`` is raised from 0.024 to what torchtitan's published saving asks for). Simulated,
not measured on a card."""

SLACK_EXPANDABLE = {
    "train": (Waste(0.001, 0.014, 0.039), Waste(0.007, 0.01, 0.199), Waste(0.015, 0.166, 0.592)),
    "train, checkpointing": (Waste(0.0, 0.01, 0.058), Waste(0.0, 0.093, 0.293), Waste(0.011, 0.164, 0.73)),
    "infer": (Waste(0.0), Waste(0.0, swing=0.028), Waste(0.039, swing=0.247)),
    "fsdp2": (Waste(0.0), Waste(0.0, 0.093, 0.293), Waste(0.096, block=1.004)),
}
"""The same with expandable segments, of 772 scenarios: no segment is left half empty, but blocks of other sizes still
leave gaps between them. For FSDP2 taken between the others, not simulated."""


def kind_of(scenario: Scenario) -> str:
    """Which row of SLACK a scenario belongs to."""
    if scenario.task == "infer":
        return "infer"
    if scenario.parallel.shards == "fsdp2":
        return "fsdp2"
    return "train" if scenario.training.checkpointing == "none" else "train, checkpointing"


UNEXPLAINED = 0.015
"""Share of the tensors added to the high end of ``allocated``: published torch.cuda.max_memory_allocated of 24 bf16
generations (Qwen2.5 speed benchmark, A100, 0.5B to 32B) lie 0.2 to 1.8 % above tensors and workspaces. Ends of blocks
that are not split off explain most of it; replayed event by event, 0.0 to 1.1 % remain."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes above the tensors: (low, point, high) of the three sums, and the parts."""

    workspace: int
    context: int
    communication: int
    allocated: tuple[Size, Size, Size]
    reserved: tuple[Size, Size, Size]
    device: tuple[Size, Size, Size]
    reasons: tuple[str, ...]


def workspace_bytes(capability: float, training: bool) -> int:
    """cuBLAS workspaces from torch's allocator: one for the forward thread, one more for autograd's.

    >>> workspace_bytes(8.0, training=True)
    17039360
    """
    one = WORKSPACE_FROM_9 if capability >= 9.0 else WORKSPACE_BEFORE_9
    return one * (2 if training else 1)


def context_bytes(capability: float) -> tuple[int, int, int]:
    """(low, assumed, high) bytes of the CUDA context of a process on a card of that capability."""
    row = next(row for row in reversed(CONTEXT) if capability >= row[0])
    return row[1] * MiB, row[2] * MiB, row[3] * MiB


def overhead(
    tensors: Size,
    spread: tuple[Size, Size],
    scenario: Scenario,
    capability: float,
    scratch: Size,
    moved: Moved,
    measured: Calibration | None = None,
    apart: int = 0,
    ends: int = 0,
) -> Overhead:
    """The sums above ``tensors`` (peak bytes). ``spread``: the tensors' own (low, high), wider than the point
    where the model is only assumed. ``scratch``: what kernels allocate that no trace sees, at most. ``moved``: what
    the allocator's waste depends on. ``measured``: the context, workspaces and segments of the very device, in place of
    the usual ones. ``apart``: what the allocator keeps for other streams while the peak, on the usual one, cannot use
    it. ``ends``: what the weights' blocks hold beyond the weights (``memcalc.allocator.unsplit``), unless they were
    loaded into one block."""
    training = scenario.task == "train"
    workspace = measured.workspace(training) if measured else workspace_bytes(capability, training)
    low_tensors, high_tensors = spread
    above = workspace + ends
    allocated = (low_tensors, tensors + above, _times(high_tensors, 1 + UNEXPLAINED) + above + scratch)
    best, usual, worst, base = _slack(scenario, measured)
    reserved = (
        up_to(best.added_to(allocated[0], moved), 2 * MiB),
        up_to(usual.added_to(allocated[1] + base + apart, moved), 2 * MiB),
        up_to(worst.added_to(allocated[2] + base + apart, moved), 2 * MiB),
    )
    context = measured.context_range() if measured else context_bytes(capability)
    buffers = communication.nccl(scenario.parallel, training)
    outside = [a + b for a, b in zip(context, buffers, strict=True)]
    device = (reserved[0] + outside[0], reserved[1] + outside[1], reserved[2] + outside[2])
    reasons: tuple[str, ...] = (
        f"allocated: up to {UNEXPLAINED:.1%} more than tensors and workspaces has been measured, for reasons unknown",
        f"workspaces: {workspace / MiB:.1f} MiB for cuBLAS "
        + (f"measured on this {measured.name}" if measured else f"at compute capability {capability:g}"),
        f"allocator: reserved is taken as {base / MiB:.0f} MiB and {_words(usual)} more than what is allocated (at "
        f"best {_words(best)}, at worst {_words(worst)}); nine of ten simulated runs, not measured on a card",
        f"CUDA context: {context[1] / MiB:.0f} MiB "
        + (
            f"measured on this {measured.name} (driver {measured.driver}, torch {measured.torch}, {measured.when}), "
            f"{context[0] / MiB:.0f} bare; {context[2] / MiB:.0f} if as many kernels again are loaded"
            if measured
            else f"assumed, {context[0] / MiB:.0f} to {context[2] / MiB:.0f} published or plausible for this generation"
        ),
    )
    if apart:
        reasons = (*reasons, f"streams: {apart / MiB:,.0f} MiB for the shards of the gradients, which come from the "
                   "reduce-scatter stream's own memory and leave it reserved while activations peak")  # fmt: skip
    if buffers[1]:
        reasons = (*reasons, communication.reason(scenario.parallel))
    return Overhead(workspace, context[1], buffers[1], allocated, reserved, device, reasons)


def _slack(scenario: Scenario, measured: Calibration | None) -> tuple[Waste, Waste, Waste, int]:
    """(best, usual, worst, BASE); where expandable segments were measured those that belong to them."""
    kind = kind_of(scenario)
    expandable = scenario.expandable_segments or (measured is not None and measured.expandable)
    best, usual, worst = (SLACK_EXPANDABLE if expandable else SLACK)[kind]
    base = BASE if measured is None else measured.large_segment + 2 * measured.small_segment
    return best, usual, worst, base * (FSDP2_STREAMS if kind == "fsdp2" else 1)


def _words(waste: Waste) -> str:
    """A waste in words: ``1.9% of it, 41% of what gradients and activations hand over, …``."""
    parts = (
        (waste.settled, "of what gradients and activations hand over"),
        (waste.block, "of what one block makes and drops"),
        (waste.swing, "of what a pass makes and drops"),
    )
    return ", ".join([f"{waste.rest:.1%} of it", *(f"{share:.0%} {of}" for share, of in parts if share)])


def _times(size: Size, factor: float) -> Size:
    """``size`` times a factor, in whole bytes without leaving integers."""
    return size * round(factor * 1000) // 1000


def up_to(size: Size, unit: int) -> Size:
    """``size`` rounded up to whole units."""
    return (size + unit - 1) // unit * unit
