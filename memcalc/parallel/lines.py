"""What stands on one rank, tensor by tensor: name, sizes and formula, for the explanation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memcalc.architectures.decoder import Decoder
from memcalc.parallel.groups import groups
from memcalc.parallel.shards import rows
from memcalc.parallel.strategy import formats
from memcalc.scenario import Scenario
from memcalc.tensors.tape import rounded
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


def weights(scenario: Scenario, program: Decoder, held: Standing) -> list[Line] | None:
    """The lines of the weights; None where every parameter stands as it is."""
    parallel = scenario.parallel
    if parallel.shards == "fsdp2":
        return [] if parallel.offload == "parameters" else list(_fsdp2_shards(scenario, program))
    return None


def gradients(scenario: Scenario, program: Decoder, held: Standing) -> list[Line] | None:
    """The lines of the gradients between micro-batches and at the step; None where each parameter has its own."""
    parallel = scenario.parallel
    if parallel.shards == "fsdp2":
        return list(_fsdp2_gradients(scenario, program))
    if parallel.shards == "ddp" and parallel.bucket_view:
        return []
    return None


def buckets(scenario: Scenario, held: Standing) -> list[Line]:
    """Buffers of gradients that stand all the time."""
    if not held.buckets:
        return []
    return [Line("DDP's buckets", "gradients", "DDP bucket", (), "", 1, held.buckets, "one value a trained parameter")]


def _fsdp2_shards(scenario: Scenario, program: Decoder) -> Iterator[Line]:
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


def _fsdp2_gradients(scenario: Scenario, program: Decoder) -> Iterator[Line]:
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
