"""FSDP2: ``fully_shard`` on every block and on the model, as torch 2.13 runs it, storage by storage.

Mirrors torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py and _fsdp_collectives.py. In forward a block's
parameters are gathered into one flat buffer and copied out of it; the buffer is kept until the next block has been
gathered. In backward the buffer goes at once, but the block before is gathered ahead; the gradients are copied into
one reduce-scatter buffer, which lives until the next block's gradients are ready.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from memcalc.formats import Format
from memcalc.parallel.groups import ROOT, Group
from memcalc.parallel.shards import rows
from memcalc.tensors.tape import Section, Storage, Tape, rounded
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.watch import Watch

STREAMS = {
    "all-gather input": "all-gather",
    "all-gather buffer": "all-gather",
    "reduce-scatter output": "reduce-scatter",
}
"""Storages that are allocated on another stream than the usual one: the caching allocator keeps free memory for each
stream apart [_fsdp_collectives.py: foreach_all_gather, foreach_reduce]."""


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats of MixedPrecisionPolicy: ``keep`` of the shards of the model's own parameters (None: as they
    are), ``reduce`` of the gradients while they are summed up (None: the gradients' own)."""

    keep: Format | None = None
    reduce: Format | None = None

    def kept(self, parameter: Parameter) -> Format:
        """The format of a parameter's shard, of its gradient's shard and of its states."""
        return self.keep or parameter.format


@dataclass(slots=True)
class Fsdp2(Watch):
    """What FSDP2 holds at the moment. ``reshard``: whether blocks are freed after their forward (the root never is);
    ``offload``: shards of parameters and gradients live in host memory [CPUOffloadPolicy]."""

    groups: dict[str, Group]
    n: int
    formats: Formats
    reshard: bool = True
    offload: bool = False
    whole: dict[str, list[Storage]] = field(default_factory=dict)
    shards: dict[str, Storage] = field(default_factory=dict)
    gathered: Storage | None = None
    ahead: Storage | None = None
    reduced: Storage | None = None
    done: set[str] = field(default_factory=set)

    def enter(self, tape: Tape, section: Section) -> None:
        """``_pre_forward`` and ``_pre_backward``."""
        label = section.label
        if section.phase == "forward":
            if label == "embedding":
                self.done = set()
                self._unshard(tape, ROOT)
            elif label in self.groups:
                self._unshard(tape, label)
        elif section.phase == "backward":
            if label == "head":
                if ROOT not in self.whole:
                    buffer = self._gather(tape, ROOT)
                    self._copy_out(tape, ROOT)
                    del buffer
                self._prefetch(tape, None)
            elif label in self.groups:
                if label not in self.whole:
                    buffer, self.ahead = self.ahead or self._gather(tape, label), None
                    self._copy_out(tape, label)
                    del buffer
                self._prefetch(tape, label)

    def leave(self, tape: Tape, section: Section) -> None:
        """``_post_forward`` and the post-backward hook of a block."""
        label = section.label
        if section.phase == "forward":
            if label in self.groups and self.reshard:
                self.whole.pop(label, None)
            elif label == "head":
                self.gathered = None
        elif section.phase == "backward" and label in self.groups and label not in self.done:
            self._reduce(tape, label)

    def finish(self, tape: Tape) -> None:
        """``_root_post_backward_final_callback``: blocks whose input needed no gradient, then the root."""
        for label in [one for one in self.groups if one in self.whole and one not in self.done]:
            self._reduce(tape, label)
        self.reduced = self.ahead = None

    def _unshard(self, tape: Tape, label: str) -> None:
        """In forward the buffer stays until the next group has its own; ``wait_for_unshard``'s local variable keeps it
        until that is copied out."""
        if label in self.whole:
            return
        buffer = self._gather(tape, label)
        self._copy_out(tape, label)
        self.gathered = buffer

    def _gather(self, tape: Tape, label: str) -> Storage:
        """The all-gather's output. Where the format changes, the shards are cast into one flat input first; those from
        the host come one by one."""
        found = self.groups[label].parameters
        inputs = []
        if self.offload:
            inputs = [self._from_host(tape, one) for one in found]
        else:
            cast = [one for one in found if self.formats.kept(one) is not one.format]
            if cast:
                values = sum(rows(one, self.n) for one in cast)
                inputs = [tape.storage((values,), cast[0].format, "all-gather input")]
        size = sum(rows(one, self.n) * one.format.size for one in found) * self.n
        buffer = tape.storage((size,), Format.UINT8, "all-gather buffer")
        del inputs
        return buffer

    def _from_host(self, tape: Tape, one: Parameter) -> Storage:
        """One shard, moved to the card as it is and cast there."""
        kept = self.formats.kept(one)
        moved = tape.storage((rows(one, self.n),), kept, "shard (from the host)")
        return moved if kept is one.format else tape.storage((rows(one, self.n),), one.format, "to (shard)")

    def _copy_out(self, tape: Tape, label: str) -> None:
        """Each parameter in a storage of its own, padding included."""
        made = []
        for one in self.groups[label].parameters:
            storage = tape.storage((self.n * rows(one, self.n),), one.format, "gathered parameter", "weights")
            storage.record.name = f"{one.name} (gathered)"
            made.append(storage)
        self.whole[label] = made

    def _prefetch(self, tape: Tape, label: str | None) -> None:
        """Gather the block before ``label`` (None: the last block), unless it still is whole."""
        order = [one for one in self.groups if one != ROOT]
        place = len(order) if label is None else order.index(label)
        if place and self.ahead is None and order[place - 1] not in self.whole:
            self.ahead = self._gather(tape, order[place - 1])

    def _reduce(self, tape: Tape, label: str) -> None:
        """``post_backward``: reshard, copy the gradients into the reduce-scatter's input, keep this rank's part."""
        self.done.add(label)
        self.whole.pop(label, None)
        self.reduced = None
        trained = [one for one in self.groups[label].trained if one.grad is not None]
        if not trained:
            return
        values = sum(rows(one, self.n) for one in trained)
        fmt = self.formats.reduce or trained[0].format
        self.reduced = tape.storage((self.n * values,), fmt, "reduce-scatter input")
        for one in trained:
            one.grad = None
        output = tape.storage((values,), fmt, "reduce-scatter output")
        kept = self.formats.kept(trained[0])
        if kept is not fmt:
            output = tape.storage((values,), kept, "reduce-scatter output")
        if not self.offload and label not in self.shards:
            output.record.component, output.record.name = "gradients", f"{label or 'root'} (gradient shards)"
            self.shards[label] = output


def shard_bytes(groups: dict[str, Group], n: int, formats: Formats) -> int:
    """Bytes of all shards of parameters on one rank; each is a tensor of its own."""
    return sum(
        rounded(rows(one, n) * formats.kept(one).size) * one.repeat
        for all_ in groups.values()
        for one in all_.parameters
    )


def gradient_bytes(groups: dict[str, Group], n: int, formats: Formats) -> int:
    """Bytes of all shards of gradients on one rank: one flat tensor a group."""
    total = 0
    for one in groups.values():
        if one.trained:
            kept = formats.kept(one.trained[0])
            total += rounded(sum(rows(p, n) for p in one.trained) * kept.size) * one.repeat
    return total


def gathered_bytes(group: Group, n: int, formats: Formats) -> int:
    """Bytes on the all-gather's stream for one group: the output, and the shards cast for it."""
    cast = sum(rows(one, n) * one.format.size for one in group.parameters if formats.kept(one) is not one.format)
    output: int = rounded(sum(rows(one, n) * one.format.size for one in group.parameters) * n)
    return output + rounded(cast) if cast else output


def sharded(groups: dict[str, Group], n: int, formats: Formats, trained: bool = True) -> list[Parameter]:
    """The shards (the ``trained`` ones, or all) as the optimizer sees them: tensors of ceil(rows / n) rows."""
    made = []
    for one in (p for all_ in groups.values() for p in (all_.trained if trained else all_.parameters)):
        shape = (-(-one.shape[0] // n), *one.shape[1:])
        made.append(Parameter(one.name, shape, formats.kept(one), one.repeat))
    return made
