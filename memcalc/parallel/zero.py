"""ZeRO stages 1 and 2, as DeepSpeed 0.19.8 runs them: all trained weights in one flat 16-bit buffer, an fp32 copy of
this rank's share of it, gradients reduced through a bucket.

Mirrors deepspeed/runtime/zero/stage_1_and_2.py. Bucket sizes are in values, not bytes, and the bucket is allocated
whole, however small the model is. Read in the source, not traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from memcalc.formats import Format
from memcalc.parallel.shards import Flat
from memcalc.tensors.tape import Section, Storage, Tape, rounded
from memcalc.tensors.tensor import Parameter, Tensor
from memcalc.tensors.watch import Watch
from memcalc.training.optimizers import StepMemory
from memcalc.training.standing import Standing

REDUCE_BUCKET = 500_000_000
"""Values of ``reduce_bucket_size`` [runtime/zero/config.py]."""


def reduce_bucket(buckets: str, hidden: int) -> int:
    """Values of the bucket: DeepSpeed's own, or hidden size squared, which Hugging Face fills in for "auto"
    [transformers 5.23 integrations/deepspeed.py: trainer_config_finalize].

    >>> reduce_bucket("deepspeed", 4096), reduce_bucket("auto", 4096)
    (500000000, 16777216)
    """
    return REDUCE_BUCKET if buckets == "deepspeed" else hidden * hidden


@dataclass(slots=True)
class Zero(Watch):
    """Stage 1 or 2. ``values``: of all trained tensors; ``share``: this rank's; ``buffers``: how many buckets there are
    (two with overlap_comm); ``accumulate``: the first of two micro-batches does not end the step; ``offload``:
    gradients go to the host as they are reduced."""

    stage: int
    trained: Sequence[Parameter]
    share: Flat
    bucket: int
    buffers: int
    accumulate: bool
    offload: bool
    buckets: list[Storage] = field(default_factory=list)
    part: Storage | None = None
    earlier: Storage | None = None
    large: Tensor | None = None
    micros: int = 0

    def delivered(self, tape: Tape, parameter: Parameter) -> None:
        """``process_gradients``: the first gradient allocates the buckets (``setup_buckets``); stage 2 copies each into
        a bucket and lets it go, one larger than the bucket once the next comes."""
        fmt = parameter.format
        if not self.buckets:
            self.buckets = [tape.storage((self.bucket,), fmt, "reduce bucket") for _ in range(self.buffers)]
        if self.stage == 2:
            self._own_part(tape, fmt)
            self.large = parameter.grad if parameter.count > self.bucket else None
            parameter.grad = None

    def leave(self, tape: Tape, section: Section) -> None:
        """Stage 2 reduces whenever a bucket is full: taken as once a block, where they do not hold the model."""
        if section.phase == "backward" and self.stage == 2 and self.buckets and self.share.values > self.bucket:
            self._flattened(tape)

    def finish(self, tape: Tape) -> None:
        """Stage 1 reduces now, at the end of the step's last micro-batch; both stages then give the buckets back."""
        self.micros += 1
        if self.stage == 1 and not (self.accumulate and self.micros == 1):
            fits = self.share.values <= self.bucket
            if not fits:
                self._own_part(tape, self.trained[0].format)  # gradients go to the bucket and away while this is there
            for one in self.trained:
                one.grad = None
            self._flattened(tape)
            self._own_part(tape, self.trained[0].format)
        elif self.stage == 2:
            self.large = None
            self._flattened(tape)
        self.buckets = []
        if self.earlier is None:
            self.earlier = self.part
        self.part = None  # added to what earlier micro-batches left

    def _own_part(self, tape: Tape, fmt: Format) -> None:
        """``grads_in_partition``: room for every tensor that reaches into this rank's share."""
        if self.part is None and not self.offload:
            self.part = tape.storage((self.share.touched,), fmt, "gradient partition", "gradients")
            self.part.record.name = "gradients of this rank's share"

    def _flattened(self, tape: Tape) -> None:
        """``allreduce_bucket`` flattens the bucket's slices, one for each owner, into a copy."""
        if self.trained:
            tape.storage((min(self.bucket, self.share.values),), self.trained[0].format, "flattened bucket")


def cast(values: int, fmt: Format, master: Format) -> tuple[int, int]:
    """Bytes of making the optimizer's gradients out of ``values`` reduced ones in ``fmt``: (at the most, what is left):
    a flat copy, then that in the master's format [``step``: flatten, to]."""
    flat = rounded(values * fmt.size)
    if fmt is master:
        return flat, flat
    wide = rounded(values * master.size)
    return flat + wide, wide


def standing(watch: Zero, weights: int, fmt: Format, master: Format, step: StepMemory, full_gradients: int) -> Standing:
    """What stands on one rank. ``weights``: flat buffer, frozen weights and buffers; ``full_gradients``: of every
    trained tensor (bytes), which stage 1 keeps between micro-batches."""
    share = watch.share
    between = full_gradients if watch.stage == 1 else 0
    masters = rounded(share.share * master.size)
    if watch.offload:
        room = rounded(max((one.count for one in watch.trained), default=0) * fmt.size)
        nothing = StepMemory((), step.at_load, 0, 0, "")
        away = 2 * masters + step.state_bytes + rounded(share.share * fmt.size)
        return Standing(weights, between, False, 0, 0, nothing, at_step=0, buffers=room, host=away)
    part = rounded(share.touched * fmt.size)
    most, left = cast(share.share, fmt, master)
    return Standing(
        weights,
        between or part,
        False,
        masters,
        0,
        step,
        at_step=part,
        copies=left - part,
        casting=most,
        lasting=between or rounded(share.share * fmt.size),
    )
