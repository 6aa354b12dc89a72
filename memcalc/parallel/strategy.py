"""What a strategy makes of a training step: what stands on one rank, and who looks on while the program runs."""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.program import Program
from memcalc.parallel import ddp, fsdp2, shards, zero, zero3
from memcalc.parallel.groups import groups
from memcalc.scenario import Parallel, Training
from memcalc.tensors.tape import rounded
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.watch import Watch
from memcalc.training.optimizers import StepMemory, step_memory
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


def watch(parallel: Parallel, precision: str, settings: Training, program: Program) -> Watch | None:
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
    if parallel.shards == "zero3":
        return _zero3(parallel, program)
    if parallel.shards in ("zero1", "zero2"):
        return _zero(parallel, settings, program)
    return None


def _zero(parallel: Parallel, settings: Training, program: Program) -> zero.Zero:
    trained = [one for one in program.parameters if one.trainable]
    return zero.Zero(
        stage=1 if parallel.shards == "zero1" else 2,
        trained=trained,
        share=shards.flat(trained, parallel.data),
        bucket=zero.reduce_bucket(parallel.buckets, program.spec.hidden),
        buffers=2 if parallel.overlap_comm else 1,
        accumulate=settings.grad_accumulation > 1,
        offload=parallel.offload != "none",
    )


def zero3_sizes(parallel: Parallel, program: Program) -> zero3.Sizes:
    """Stage 3's bucket sizes for this model."""
    hidden = program.spec.hidden
    return zero3.Sizes.of(parallel.buckets, zero.reduce_bucket(parallel.buckets, hidden), hidden)


def _zero3(parallel: Parallel, program: Program) -> zero3.Zero3:
    return zero3.Zero3(groups(program), zero3_sizes(parallel, program))


def held(parallel: Parallel, precision: str, settings: Training, program: Program) -> Standing:
    """What stands beside the activations of one rank."""
    if parallel.shards == "fsdp2":
        return _fsdp2(parallel, precision, settings, program)
    if parallel.shards in ("zero1", "zero2", "zero3"):
        return _deepspeed(parallel, precision, settings, program)
    usual = standing(program, settings, TRAINING[precision])
    if parallel.shards == "ddp" and not usual.gradients_stay:
        buckets = ddp.bucket_bytes([one for one in program.parameters if one.trainable])
        return replace(usual, buckets=buckets, gradients=0 if parallel.bucket_view else usual.gradients)
    return usual


def _fsdp2(parallel: Parallel, precision: str, settings: Training, program: Program) -> Standing:
    found, n, kept = groups(program), parallel.data, formats(parallel, precision)
    weights = fsdp2.shard_bytes(found, n, kept)
    gradients = fsdp2.gradient_bytes(found, n, kept)
    step = step_memory(
        settings.optimizer, settings.optimizer_impl, fsdp2.sharded(found, n, kept), settings.optimizer_options
    )
    if parallel.offload == "none":
        return Standing(weights + buffer_bytes(program), gradients, False, 0, 0, step)
    away = weights + gradients + step.state_bytes
    nothing = replace(step, states=(), first=0, later=0)
    return Standing(buffer_bytes(program), 0, False, 0, 0, nothing, host=away)


def _deepspeed(parallel: Parallel, precision: str, settings: Training, program: Program) -> Standing:
    """ZeRO: the optimizer steps flat tensors in the master's format, fp32 unless everything is in bf16."""
    trained = [one for one in program.parameters if one.trainable]
    fmt = TRAINING[precision].weights
    master = fmt if precision == "bf16" else TRAINING["fp32"].weights

    def steps(values: list[int]) -> StepMemory:
        flat = [Parameter(f"share {i}", (one,), master) for i, one in enumerate(values)]
        return step_memory(settings.optimizer, settings.optimizer_impl, flat, settings.optimizer_options)

    if parallel.shards == "zero3":
        look = _zero3(parallel, program)
        parts = zero3.sub_groups(zero3.share(trained, parallel.data))
        every, one = steps(parts), steps(parts[:1])
        step = replace(every, first=one.first, later=one.later)
        return zero3.standing(look, parallel.data, buffer_bytes(program), master, step, parallel.offload)
    seen = _zero(parallel, settings, program)
    frozen = sum(one.bytes() * one.repeat for one in program.parameters if not one.trainable)
    weights = rounded(seen.share.values * fmt.size) + frozen + buffer_bytes(program)
    gradients = sum(one.bytes() * one.repeat for one in trained)
    return zero.standing(seen, weights, fmt, master, steps([seen.share.share]), gradients)
