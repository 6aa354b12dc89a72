"""What stands on one rank, tensor by tensor: name, sizes and formula, for the explanation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memcalc.architectures.program import Program
from memcalc.parallel.groups import groups
from memcalc.parallel.shards import flat, pieces, rows
from memcalc.parallel.strategy import formats, zero3_sizes
from memcalc.parallel.zero3 import share
from memcalc.scenario import Parallel, Scenario
from memcalc.tensors.tape import rounded
from memcalc.tensors.tensor import Parameter
from memcalc.training.standing import Standing


@dataclass(frozen=True, slots=True)
class Line:
    """``count`` equal tensors of ``bytes`` each; ``op`` names the rule (and its source)."""

    name: str
    component: str
    op: str
    shape: tuple[int, ...]
    format: str
    count: int
    bytes: int
    formula: str


def weights(scenario: Scenario, program: Program, held: Standing) -> list[Line] | None:
    """The lines of the weights; None where every parameter stands as it is."""
    parallel = scenario.parallel
    if parallel.shards == "fsdp2":
        return [] if parallel.offload == "parameters" else list(_fsdp2_shards(scenario, program))
    if parallel.shards in ("zero1", "zero2"):
        return list(_flat_weights(parallel, program))
    if parallel.shards == "zero3":
        return list(_pieces(parallel, program))
    return None


def gradients(scenario: Scenario, program: Program, held: Standing, size: int) -> list[Line] | None:
    """The lines of ``size`` bytes of gradients, those between micro-batches or at the step; None where each parameter
    has its own."""
    parallel = scenario.parallel
    if parallel.shards == "fsdp2":
        return list(_fsdp2_gradients(scenario, program))
    if parallel.shards == "ddp" and parallel.bucket_view:
        return []
    if parallel.shards in ("zero1", "zero2") and held.at_step is not None:
        if size != held.at_step:
            return None  # stage 1 between micro-batches: every gradient whole
        what = "one value for each of every tensor that reaches into this rank's share"
        return [_line("gradients of this rank's share", "gradients", "gradient partition", size, what)] if size else []
    return None


def buckets(scenario: Scenario, held: Standing) -> list[Line]:
    """Buffers that stand all the time: of gradients, of communication."""
    found = []
    if held.buckets and scenario.parallel.shards == "zero3":
        what = "one value for each of this rank's share"
        found.append(_line("gradients of this rank's share", "gradients", "gradient partition", held.buckets, what))
    elif held.buckets:
        what = "one value a trained parameter"
        found.append(_line("DDP's buckets", "gradients", "DDP bucket", held.buckets, what))
    if held.buffers and scenario.parallel.shards == "zero3":
        found.append(_line("reduce bucket", "temporary", "reduce bucket", held.buffers, "reduce_bucket_size values"))
    elif held.buffers:
        what = "one value for each of the largest tensor"
        found.append(_line("room for a gradient on its way", "temporary", "offload buffer", held.buffers, what))
    return found


def _line(name: str, component: str, op: str, size: int, formula: str) -> Line:
    return Line(name, component, op, (), "", 1, size, formula)


def _flat_weights(parallel: Parallel, program: Program) -> Iterator[Line]:
    trained = [one for one in program.parameters if one.trainable]
    if trained:
        fmt, values = trained[0].format, flat(trained, parallel.data).values
        yield Line("trained weights, in one buffer", "weights", "flat buffer", (values,), fmt.label, 1,
                   rounded(values * fmt.size), f"{values:,} × {fmt.size} B, padded to 2 × {parallel.data}")  # fmt: skip
    for one in program.parameters:
        if not one.trainable:
            yield _whole(one)


def _whole(one: Parameter) -> Line:
    product = " × ".join(f"{dim:,}" for dim in one.shape)
    return Line(one.name, "weights", "parameter", one.shape, one.format.label, one.repeat, one.bytes(),
                f"{one.repeat:,} × {product} × {one.format.size} B")  # fmt: skip


def _pieces(parallel: Parallel, program: Program) -> Iterator[Line]:
    """Shards, and what stays whole beside its shard."""
    n, limit = parallel.data, zero3_sizes(parallel, program).persistent
    trained = [one for one in program.parameters if one.trainable]
    if trained and parallel.offload != "parameters":
        fmt, values = trained[0].format, share(trained, n)
        yield Line("shards of the trained weights", "weights", "ZeRO-3 shard", (values,), fmt.label, 1,
                   rounded(values * fmt.size), f"{values:,} × {fmt.size} B: 1 / {n} of each tensor")  # fmt: skip
    for one in program.parameters:
        if one.count <= limit:
            yield _whole(one)
        if not one.trainable and parallel.offload != "parameters":
            values = pieces(one, n)
            yield Line(f"{one.name} (shard)", "weights", "ZeRO-3 shard", (values,), one.format.label, one.repeat,
                       rounded(values * one.format.size), f"{one.count:,} / {n} × {one.format.size} B")  # fmt: skip


def _fsdp2_shards(scenario: Scenario, program: Program) -> Iterator[Line]:
    n, kept = scenario.parallel.data, formats(scenario.parallel, scenario.precision)
    for group in groups(program).values():
        for one in group.parameters:
            shape = (-(-one.shape[0] // n), *one.shape[1:])
            fmt = kept.kept(one)
            product = " × ".join(f"{dim:,}" for dim in shape)
            times = f"{one.repeat:,} × " if one.repeat > 1 else ""
            yield Line(
                f"{one.name} (shard)",
                "weights",
                "FSDP2 shard",
                shape,
                fmt.label,
                one.repeat,
                rounded(rows(one, n) * fmt.size),
                f"{times}{product} × {fmt.size} B: ceil({one.shape[0]:,} / {n}) rows",
            )


def _fsdp2_gradients(scenario: Scenario, program: Program) -> Iterator[Line]:
    n, kept = scenario.parallel.data, formats(scenario.parallel, scenario.precision)
    for group in groups(program).values():
        if group.trained:
            fmt = kept.kept(group.trained[0])
            values = sum(rows(one, n) for one in group.trained)
            times = f"{group.repeat:,} × " if group.repeat > 1 else ""
            yield Line(
                f"{group.label or 'rest of the model'} (gradient shards)",
                "gradients",
                "reduce-scatter output",
                (values,),
                fmt.label,
                group.repeat,
                rounded(values * fmt.size),
                f"{times}{values:,} × {fmt.size} B",
            )
