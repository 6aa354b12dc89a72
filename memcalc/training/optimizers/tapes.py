"""The tape on which an optimizer's step is run: what a step program may take and keep.

A step program mirrors the optimizer's Python code tensor by tensor; a storage lives as long as a local variable (or
the optimizer's state) holds it, as in ``memcalc.tensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from memcalc.formats import Format
from memcalc.tensors.tape import Storage, Tape
from memcalc.tensors.tensor import Parameter

State = Storage
"""A tensor that the optimizer keeps."""


@dataclass(slots=True)
class Slot:
    """One trained tensor as an optimizer sees it: ``format`` is the one it works in (fp32 for a master copy)."""

    parameter: Parameter
    shape: tuple[int, ...]
    format: Format
    state: dict[str, State] = field(default_factory=dict)

    @property
    def is_hidden_matrix(self) -> bool:
        """A two-dimensional weight inside a block, not an embedding and not the head."""
        return len(self.shape) == 2 and self.parameter.name.startswith("block")


@dataclass(slots=True)
class Step:
    """One run of ``optimizer.step()``: its tensors, options and implementation, and where its memory comes from."""

    tape: Tape
    slots: Sequence[Slot]
    options: Mapping[str, Any]
    impl: str
    number: int = 1

    def like(self, slot: Slot, op: str, fmt: Format | None = None) -> Storage:
        """A temporary of the tensor's shape."""
        return self.tape.storage(slot.shape, fmt or slot.format, op)

    def fresh(self, shape: Sequence[int], fmt: Format, op: str) -> Storage:
        """A temporary of any shape."""
        return self.tape.storage(shape, fmt, op)

    def keep(self, slot: Slot, name: str, shape: Sequence[int] | None = None, fmt: Format | None = None) -> Storage:
        """The state called ``name``, made if it does not exist yet: of the tensor's shape, unless told otherwise."""
        if name not in slot.state:
            slot.state[name] = self.made(name, slot.shape if shape is None else shape, fmt or slot.format)
        return slot.state[name]

    def renew(self, slot: Slot, name: str, shape: Sequence[int], fmt: Format) -> None:
        """A state that every step makes anew."""
        slot.state[name] = self.made(name, shape, fmt)

    def made(self, name: str, shape: Sequence[int], fmt: Format) -> Storage:
        """A tensor that is to be kept as the state called ``name``."""
        made = self.tape.storage(shape, fmt, name, "optimizer")
        made.record.name = name
        return made


Program = Callable[[Step], None]


def unrolled(trained: Sequence[Parameter], fmt: Format | None) -> list[Slot]:
    """The trained tensors one by one, repeated blocks in their order, as ``named_parameters()`` lists them."""
    slots: list[Slot] = []
    for repeat, run in groupby(trained, key=lambda one: one.repeat):
        block = list(run)
        for _ in range(repeat):
            slots += [Slot(one, one.shape, fmt or one.format) for one in block]
    return slots
