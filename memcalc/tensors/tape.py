"""Storages and the tape on which their births and deaths are written.

A program over symbolic tensors is run like the model code it mirrors. Every new storage writes a
birth; when the last tensor that holds it goes (CPython counts references, as PyTorch does), it writes
its death. Nothing here knows about time or level: ``timeline`` adds the events up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memcalc.formats import Format

if TYPE_CHECKING:
    from memcalc.tensors.autograd import Autocast, Node, Recomputation
    from memcalc.tensors.tensor import Tensor
    from memcalc.tensors.watch import Watch

Size = Any
"""A dimension or a number of bytes: an int (one estimate) or an int64 array (a sweep's grid)."""

BLOCK = 512
"""Bytes: the CUDA caching allocator rounds every request up to this (c10 ``kMinBlockSize``)."""


def rounded(size: Size) -> Size:
    """``size`` bytes as the allocator hands them out: the next multiple of 512. ``rounded(1) == 512``."""
    return (size + (BLOCK - 1)) // BLOCK * BLOCK


@dataclass(slots=True)
class Record:
    """What is known of one storage: enough to say later which tensor a byte belonged to.

    ``fixed``: its component stays what it is, whatever keeps it (inputs and labels).
    """

    bytes: Size
    shape: tuple[Size, ...]
    format: Format
    op: str
    component: str
    section: int
    name: str = ""
    fixed: bool = False


class Storage:
    """A block of device memory. It lives as long as something refers to it."""

    __slots__ = ("index", "record", "tape")

    def __init__(self, tape: Tape, record: Record) -> None:
        self.tape = tape
        self.record = record
        self.index = len(tape.records)
        tape.records.append(record)
        tape.events.append(self.index)

    def __del__(self) -> None:
        self.tape.events.append(~self.index)


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the tape: where it begins, and what it is called.

    ``group`` numbers the run of blocks that it belongs to (None outside the blocks); the sections of one
    group stand for ``repeat`` equal runs, one after another.
    """

    start: int
    phase: str
    label: str
    repeat: int = 1
    group: int | None = None


class Tape:
    """Events of one run of a program: ``i`` is the birth of ``records[i]``, ``~i`` its death.

    ``one_sequence`` and ``one_token`` say whether the batch, or the query length, is 1: whether a
    reshape copies or only looks at its input differently depends on that.
    """

    def __init__(self, one_sequence: bool = False, one_token: bool = False) -> None:
        self.one_sequence = one_sequence
        self.one_token = one_token
        self.records: list[Record] = []
        self.events: list[int] = []
        self.sections: list[Section] = [Section(0, "load", "load")]
        self.nodes: list[Node] = []
        self.grad_enabled = True
        self.liger = False  # fused norms, feed-forwards and rotary positions
        self.offload = False  # what is kept for backward waits in the computer's memory
        self.selective = False  # checkpointed blocks keep the results of matrix products and attention kernels
        self.strays: list[Tensor] = []  # gradients that only the graph holds
        self.autocast: Autocast | None = None
        self.saving: Recomputation | None = None
        self.watch: Watch | None = None  # what wraps the model, if anything does
        self._bytes: dict[tuple[Any, ...], Size] = {}

    def folds(self, heads: int) -> bool:
        """Whether a copy is needed to make one dimension of batch and heads, where heads lie within tokens."""
        return heads > 1 and not self.one_sequence

    def reorders(self, heads: int) -> bool:
        """Whether ``transpose`` of tokens and heads changes the order in memory."""
        return heads > 1 and not self.one_token

    def begin(self, phase: str, label: str, repeat: int = 1, group: int | None = None) -> None:
        """Start a new section; what is born and dies from here on belongs to it."""
        if self.watch is not None:
            self.watch.leave(self, self.sections[-1])
        self.sections.append(Section(len(self.events), phase, label, repeat, group))
        if self.watch is not None:
            self.watch.enter(self, self.sections[-1])

    def storage(self, shape: Sequence[Size], fmt: Format, op: str, component: str = "temporary") -> Storage:
        """Allocate a storage of ``shape`` in ``fmt``, rounded up to the allocator's block."""
        shape = tuple(shape)
        return Storage(self, Record(self._rounded(shape, fmt), shape, fmt, op, component, len(self.sections) - 1))

    def _rounded(self, shape: tuple[Size, ...], fmt: Format) -> Size:
        try:
            return self._bytes[fmt.size, shape]
        except KeyError:
            found = self._bytes[fmt.size, shape] = _product(shape, fmt)
            return found
        except TypeError:
            # A sweep's dimensions are the same few arrays again and again: remembered by identity.
            key = (fmt.size, *(d if type(d) is int else id(d) for d in shape))
            if key not in self._bytes:
                self._bytes[key] = _product(shape, fmt)
            return self._bytes[key]


def _product(shape: tuple[Size, ...], fmt: Format) -> Size:
    size: Size = fmt.size
    for dim in shape:
        size = size * dim
    return rounded(size)
