"""Reads ``parallel``: how many cards work together, and how they share the work."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from memcalc.errors import ScenarioError
from memcalc.scenario.fields import Fields
from memcalc.scenario.settings import Hardware, Training

STRATEGIES = ("ddp", "zero1", "zero2", "zero3", "fsdp2")
OFFLOADS = ("none", "optimizer", "parameters")
BUCKETS = ("deepspeed", "auto")
OFFLOADED = {
    "ddp": ("none",),
    "zero1": ("none", "optimizer"),
    "zero2": ("none", "optimizer"),
    "zero3": ("none", "optimizer", "parameters"),
    "fsdp2": ("none", "parameters"),
}
"""What each can move to the host: DeepSpeed's offload_optimizer and offload_param, FSDP2's CPUOffloadPolicy."""

ZERO_PRECISIONS = ("bf16-master", "fp16-master", "bf16", "fp32")
"""DeepSpeed's bf16 and fp16 (fp32 masters), bf16 with bf16_master_weights_and_grads and bf16_optimizer_states, and
fp32. All 16 bits in fp16 only runs with offloading [runtime/zero/stage_1_and_2.py: _configure_master_weights]."""

FLAT_OPTIMIZERS = (
    "muon", "galore", "apollo", "adam-mini", "adamw-8bit", "paged-adamw-8bit", "paged-adamw-32bit", "lion-8bit",
    "adafactor-hf",
)  # fmt: skip
"""Optimizers that need the tensors' own shapes, which ZeRO's flat buffers do not keep (or that were not read with
them)."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """Sizes and choices; the fields are the contract's and, after ``offload``, each library's own.

    ``bucket_view``: DDP's gradient_as_bucket_view. ``reshard_after_forward``: FSDP2's. ``buckets``: DeepSpeed's own
    bucket sizes, or what Hugging Face fills in for "auto". ``overlap_comm``: DeepSpeed's (None: its default, on for
    stage 3 only).
    """

    data: int = 1
    strategy: str = "ddp"
    tensor: int = 1
    sequence: bool = False
    offload: str = "none"
    bucket_view: bool = False
    reshard_after_forward: bool = True
    buckets: str = "deepspeed"
    overlap_comm: bool | None = None

    @property
    def cards(self) -> int:
        """How many cards work together."""
        return self.data * self.tensor

    @property
    def shards(self) -> str | None:
        """The strategy, if there is anything to share: more than one replica."""
        return self.strategy if self.data > 1 else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "pipeline": 1, "schedule": None, "context": 1, "expert": 1}


def read_parallel(top: Fields, task: str, notes: list[str]) -> Parallel:
    """``parallel`` with its defaults; what is not built is refused by name."""
    raw = top.get("parallel")
    if raw is None:
        return Parallel()
    read = Fields(raw, "parallel")
    for name in ("pipeline", "context", "expert"):
        if read.whole(name, 1) != 1:
            raise ScenarioError(
                f"{read.at(name)} is not supported yet; parallel.data and parallel.tensor are", read.at(name), [1]
            )
    if read.get("schedule") is not None:
        notes.append("parallel.schedule is ignored: there is no pipeline")
    found = Parallel(
        data=read.whole("data", 1, high=65_536),
        strategy=read.choice("strategy", STRATEGIES, "ddp"),
        tensor=read.whole("tensor", 1, high=1024),
        sequence=read.flag("sequence"),
        offload=read.choice("offload", OFFLOADS, "none"),
        bucket_view=read.flag("bucket_view"),
        reshard_after_forward=read.flag("reshard_after_forward", True),
        buckets=read.choice("buckets", BUCKETS, "deepspeed"),
        overlap_comm=None if read.get("overlap_comm") is None else read.flag("overlap_comm"),
    )
    read.finish()
    return _sensible(found, task, notes)


def _sensible(found: Parallel, task: str, notes: list[str]) -> Parallel:
    if found.tensor == 1 and found.sequence:
        notes.append("parallel.sequence is ignored: tensors are not split")
        found = replace(found, sequence=False)
    if task == "infer" and found.data > 1:
        notes.append("parallel.data: every card holds a whole replica and answers for itself; the batch is one card's")
    if task == "infer" and found.offload != "none":
        raise ScenarioError("parallel.offload is for training", "parallel.offload", ["none"])
    if found.data == 1 and found.strategy != "ddp":
        notes.append(f"parallel.strategy is ignored: with one replica {found.strategy} has nothing to share")
    if task == "train" and found.offload not in (OFFLOADED[found.strategy] if found.data > 1 else ("none",)):
        raise ScenarioError(
            f"{found.strategy} over {found.data} cards does not offload {found.offload} here",
            "parallel.offload",
            OFFLOADED[found.strategy] if found.data > 1 else ("none",),
        )
    return found


def check(parallel: Parallel, training: Training, precision: str, hardware: Hardware) -> None:
    """Refuse what a strategy cannot be combined with."""
    if hardware.count not in (1, parallel.cards) and hardware.count < parallel.cards:
        raise ScenarioError(
            f"parallel asks for {parallel.cards} cards, hardware.count has {hardware.count}",
            "hardware.count",
            [parallel.cards],
        )
    strategy = parallel.shards
    if strategy in (None, "ddp"):
        return
    if training.gradient_dtype is not None:
        raise ScenarioError(f"training.gradient_dtype does not go with {strategy} here", "training.gradient_dtype")
    if training.method == "qlora":
        raise ScenarioError(f"{strategy} of 4-bit weights is not supported yet", "training.method", ["full", "lora"])
    if training.ema:
        raise ScenarioError(f"training.ema does not go with {strategy} here", "training.ema", [False])
    if strategy != "fsdp2" and training.zero_grad != "set-to-none":
        raise ScenarioError("DeepSpeed frees the gradients itself", "training.zero_grad", ["set-to-none"])
    if strategy != "fsdp2" and training.optimizer in FLAT_OPTIMIZERS:
        raise ScenarioError(
            f"{strategy} steps flat buffers: {training.optimizer} is not supported with it", "training.optimizer"
        )
    if strategy == "fsdp2" and training.optimizer in ("galore", "apollo", "adam-mini", "muon"):
        raise ScenarioError(f"{training.optimizer} is not supported on sharded tensors", "training.optimizer")
    if strategy in ("zero1", "zero2", "zero3") and precision not in ZERO_PRECISIONS:
        raise ScenarioError(
            f"DeepSpeed does not run {precision}; its own mixed precision is bf16-master or fp16-master",
            "precision",
            ZERO_PRECISIONS,
        )
