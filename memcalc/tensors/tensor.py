"""Symbolic tensors and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memcalc.formats import Format
from memcalc.tensors.tape import Size, Storage, Tape, rounded

if TYPE_CHECKING:
    from memcalc.tensors.autograd import Node

Shape = tuple[Size, ...]


class Tensor:
    """A view of a storage: shape, format, and the node that made it (None: it needs no gradient).

    ``is_view`` is torch's own notion: such a tensor keeps its base alive, so autograd never adds
    another gradient into it in place.
    """

    __slots__ = ("format", "is_view", "node", "shape", "slot", "storage")

    def __init__(
        self,
        storage: Storage,
        shape: Sequence[Size],
        fmt: Format,
        node: Node | None = None,
        slot: int = 0,
        is_view: bool = False,
    ) -> None:
        self.storage = storage
        self.shape: Shape = tuple(shape)
        self.format = fmt
        self.node = node
        self.slot = slot
        self.is_view = is_view

    @property
    def tape(self) -> Tape:
        return self.storage.tape

    @property
    def needs_grad(self) -> bool:
        return self.node is not None

    def view(self, *shape: Size) -> Tensor:
        """The same storage under another shape; its gradient passes back as a view."""
        return Tensor(self.storage, shape or self.shape, self.format, self.node, self.slot, True)

    def detach(self) -> Tensor:
        """The same storage, cut from the graph."""
        return Tensor(self.storage, self.shape, self.format)


class Parameter:
    """A weight of the model; ``repeat`` equal ones stand behind it (one for each repeated block).

    It is its own end of the graph: gradients that reach it are gathered in ``buffer`` until all
    ``uses`` have delivered, then become (or are added to) ``grad``. ``transposed``: a matrix that lies (inputs,
    outputs), as Conv1D's does, not (outputs, inputs). ``stray``: made in the forward pass and no part of the model, so
    that its gradient lives as long as the graph. ``reordered``: its gradient comes in another order in memory than its
    own, and is copied where it is put.
    """

    __slots__ = (
        "buffer", "format", "grad", "name", "reordered", "repeat", "shape", "stray", "trainable", "transposed", "uses",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        fmt: Format,
        repeat: int = 1,
        trainable: bool = True,
        transposed: bool = False,
        stray: bool = False,
    ) -> None:
        self.name = name
        self.shape: tuple[int, ...] = tuple(shape)
        self.format = fmt
        self.repeat = repeat
        self.trainable = trainable
        self.transposed = transposed
        self.stray = stray
        self.reordered = False
        self.uses = 0
        self.buffer: Tensor | None = None
        self.grad: Tensor | None = None

    @property
    def needs_grad(self) -> bool:
        return self.trainable

    @property
    def count(self) -> int:
        """Values in one of them."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count

    def bytes(self, fmt: Format | None = None) -> int:
        """Bytes of one of them (in ``fmt``, if given), rounded as the allocator does."""
        size: int = rounded(self.count * (fmt or self.format).size)
        return size

    def __repr__(self) -> str:
        return f"Parameter({self.name}, {self.shape}, {self.format.label}, x{self.repeat})"
