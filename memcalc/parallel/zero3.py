"""ZeRO stage 3, as DeepSpeed 0.19.8 runs it: parameters in shards too, gathered module by module and let go.

Mirrors deepspeed/runtime/zero/stage3.py and partitioned_param_coordinator.py, block by block instead of module by
module: what is whole at a time is the largest tensor at work, what is gathered ahead of it, and around the turn from
forward to backward everything that is needed again soon. Read in the source, not traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from memcalc.formats import Format
from memcalc.parallel.groups import ROOT, Group
from memcalc.parallel.shards import pieces
from memcalc.parallel.zero import cast
from memcalc.tensors.tape import Section, Storage, Tape, rounded
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.watch import Watch
from memcalc.training.optimizers import StepMemory
from memcalc.training.standing import Standing

PREFETCH = 50_000_000
"""Values gathered ahead, stage3_prefetch_bucket_size [runtime/zero/config.py]; the last tensor is taken whole."""
PERSISTENT = 100_000
"""Tensors of at most so many values stay whole, stage3_param_persistence_threshold [ibid.]."""
REUSE = 1_000_000_000
"""What is needed again within so many values is not let go, stage3_max_reuse_distance [ibid.]."""
SUB_GROUP = 1_000_000_000
"""Values of this rank's share that are stepped at once, sub_group_size [ibid.]."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bucket sizes in values."""

    reduce: int
    prefetch: int
    persistent: int

    @classmethod
    def of(cls, buckets: str, reduce: int, hidden: int) -> Sizes:
        """DeepSpeed's own, or what Hugging Face fills in for "auto": 0.9 hidden squared and 10 hidden
        [transformers 5.23 integrations/deepspeed.py: trainer_config_finalize]."""
        if buckets == "deepspeed":
            return cls(reduce, PREFETCH, PERSISTENT)
        return cls(reduce, int(0.9 * hidden * hidden), 10 * hidden)


@dataclass(slots=True)
class Zero3(Watch):
    """What is whole at the moment. ``groups``: the blocks and the rest, as sections name them."""

    groups: dict[str, Group]
    sizes: Sizes
    live: Storage | None = None
    reused: Storage | None = None
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.order = [one for one in self.groups if one != ROOT]

    @property
    def parted(self) -> list[Parameter]:
        """Tensors that do not stay whole."""
        return [p for one in self.groups.values() for p in one.parameters if p.count > self.sizes.persistent]

    def enter(self, tape: Tape, section: Section) -> None:
        """``fetch_sub_module``: the tensors at work, and some ahead."""
        if section.phase not in ("forward", "backward"):
            return
        around = section.label == "head" or (section.phase == "backward" and section.label == self.order[-1])
        if around and self.reused is None:
            total = sum(one.count * one.repeat for one in self.parted)
            self.reused = self._whole(tape, min(REUSE // 2, total))
        mine = self._largest(section.label)
        ahead = self._ahead(section)
        if self.reused is not None:
            held = self.reused.record.shape[0]
            mine, ahead = max(0, mine - held), 0
        self.live = self._whole(tape, mine + ahead) if mine + ahead else None

    def leave(self, tape: Tape, section: Section) -> None:
        """``release_sub_module``."""
        self.live = None
        if section.phase == "backward" and section.label == self.order[-1]:
            self.reused = None

    def delivered(self, tape: Tape, parameter: Parameter) -> None:
        """The gradient goes into the bucket, whose contents are put in order of ranks in a copy
        [``reduce_scatter_coalesced``]; its part is added to the flat buffer of this rank's gradients."""
        if parameter.count > self.sizes.reduce:
            tape.storage((parameter.count,), parameter.format, "interleaved bucket")
        parameter.grad = None

    def finish(self, tape: Tape) -> None:
        trained = [p for one in self.groups.values() for p in one.trained]
        if trained:
            values = min(self.sizes.reduce, sum(one.count * one.repeat for one in trained))
            tape.storage((values,), trained[0].format, "interleaved bucket")
        self.live = self.reused = None

    def _largest(self, label: str) -> int:
        """Values of the largest tensor that works in a section and does not stay whole."""
        found = self.groups[label if label in self.groups else ROOT].parameters
        return max((one.count for one in found if one.count > self.sizes.persistent), default=0)

    def _ahead(self, section: Section) -> int:
        """Values gathered ahead: the prefetch bucket, and what overfills it, of this block or of the next."""
        if section.label not in self.groups:
            beyond = self._largest(self.order[0] if section.phase == "forward" else self.order[-1])
        else:
            last = self.order[-1] if section.phase == "forward" else self.order[0]
            beyond = max(self._largest(section.label), self._largest(ROOT) if section.label == last else 0)
        rest = sum(one.count * one.repeat for one in self.parted) - self._largest(section.label)
        return max(0, min(self.sizes.prefetch + beyond, rest))

    def _whole(self, tape: Tape, values: int) -> Storage:
        fmt = next(iter(self.groups.values())).parameters[0].format
        made = tape.storage((values,), fmt, "gathered tensors (ZeRO-3)", "weights")
        made.record.name = "tensors gathered at the moment"
        return made


def sub_groups(values: int) -> list[int]:
    """This rank's share of ``values``, cut for the step.

    >>> sub_groups(2_500_000_000)
    [1000000000, 1000000000, 500000000]
    """
    whole, rest = divmod(values, SUB_GROUP)
    return [SUB_GROUP] * whole + ([rest] if rest else [])


def share(trained: Sequence[Parameter], n: int) -> int:
    """Values of this rank's shards of ``trained``."""
    return sum(pieces(one, n) * one.repeat for one in trained)


def standing(watch: Zero3, n: int, buffers: int, master: Format, step: StepMemory, offload: str) -> Standing:
    """What stands on one rank; ``buffers``: the model's own (bytes)."""
    every = [p for one in watch.groups.values() for p in one.parameters]
    trained = [one for one in every if one.trainable]
    fmt = every[0].format
    mine = share(trained, n)
    whole = sum(one.bytes() * one.repeat for one in every if one.count <= watch.sizes.persistent)
    shards = rounded(mine * fmt.size) + sum(
        rounded(pieces(one, n) * one.format.size) * one.repeat for one in every if not one.trainable
    )
    gradients = rounded(mine * fmt.size)
    masters = sum(rounded(one * master.size) for one in sub_groups(mine))
    bucket = rounded(watch.sizes.reduce * fmt.size)
    weights = whole + buffers + (0 if offload == "parameters" else shards)
    if offload != "none":
        nothing = StepMemory((), step.at_load, 0, 0, "")
        away = gradients + 2 * masters + step.state_bytes + (shards if offload == "parameters" else 0)
        return Standing(weights, 0, False, 0, 0, nothing, buffers=bucket, host=away)
    most, left = cast(sub_groups(mine)[0] if mine else 0, fmt, master)
    return Standing(weights, 0, False, masters, 0, step, buckets=gradients, buffers=bucket, copies=left, casting=most)
