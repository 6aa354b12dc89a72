"""What a strategy makes of a training step: what stands on one rank, and who looks on while the program runs."""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.decoder import Decoder
from memcalc.parallel import ddp, fsdp2
from memcalc.parallel.groups import groups
from memcalc.scenario import Parallel, Training
from memcalc.tensors.watch import Watch
from memcalc.training.optimizers import step_memory
from memcalc.training.precision import TRAINING, Precision
from memcalc.training.standing import Standing, buffer_bytes, standing


def computed_in(parallel: Parallel, precision: str) -> Precision:
    """The precision in which the program runs. FSDP2's mixed precision is not autocast: parameters are gathered in 16
    bits, and the fp32 shards are the master copy."""
    usual = TRAINING[precision]
    if parallel.shards != "fsdp2":
        return usual
    return Precision(usual.autocast or usual.weights)


def formats(parallel: Parallel, precision: str) -> fsdp2.Formats:
    """FSDP2's formats: with mixed precision fp32 shards, and fp32 for summing up gradients."""
    usual = TRAINING[precision]
    wide = TRAINING["fp32"].weights
    return fsdp2.Formats(wide, wide) if usual.autocast or usual.master else fsdp2.Formats()


def watch(parallel: Parallel, precision: str, program: Decoder) -> Watch | None:
    """Who looks on."""
    if parallel.shards == "ddp" and parallel.bucket_view:
        return ddp.BucketViews()
    if parallel.shards == "fsdp2":
        return fsdp2.Fsdp2(
            groups(program),
            parallel.data,
            formats(parallel, precision),
            parallel.reshard_after_forward,
            parallel.offload == "parameters",
        )
    return None


def held(parallel: Parallel, precision: str, settings: Training, program: Decoder) -> Standing:
    """What stands beside the activations of one rank."""
    if parallel.shards == "fsdp2":
        return _fsdp2(parallel, precision, settings, program)
    usual = standing(program, settings, TRAINING[precision])
    if parallel.shards == "ddp" and not usual.gradients_stay:
        buckets = ddp.bucket_bytes([one for one in program.parameters if one.trainable])
        return replace(usual, buckets=buckets, gradients=0 if parallel.bucket_view else usual.gradients)
    return usual


def _fsdp2(parallel: Parallel, precision: str, settings: Training, program: Decoder) -> Standing:
    found, n, kept = groups(program), parallel.data, formats(parallel, precision)
    shards = fsdp2.shard_bytes(found, n, kept)
    gradients = fsdp2.gradient_bytes(found, n, kept)
    step = step_memory(
        settings.optimizer, settings.optimizer_impl, fsdp2.sharded(found, n, kept), settings.optimizer_options
    )
    if parallel.offload == "none":
        return Standing(shards + buffer_bytes(program), gradients, False, 0, 0, step)
    away = shards + gradients + step.state_bytes
    nothing = replace(step, states=(), first=0, later=0)
    return Standing(buffer_bytes(program), 0, False, 0, 0, nothing, host=away)
