"""What all architecture programs share: parameters, what a micro-batch gives the model, the run of equal blocks.

A program builds its parameters once and can then be run on any tape. It states itself what it reads (``inputs``), what
it gives (``outputs``) and what it is trained on (``loss``); nobody else has to know what kind of model it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from memcalc.architectures.layers import Maker
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec, Template
from memcalc.formats import Format
from memcalc.tensors.autograd import checkpointed, graph_leaf
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor

Inputs = dict[str, Tensor]
"""What the model is called with, by the names of the model code's arguments. It belongs to the caller."""

Block = Callable[[int, Tensor], Tensor]
"""Runs the block of a template's index on hidden states."""


class Program:
    """A model as a program over symbolic tensors.

    ``plan`` holds the blocks that are run, each for its equals. ``linear_names`` are the names of its linear layers,
    ``peft_targets`` those that PEFT adapts where none are named [peft utils/constants.py].
    """

    linear_names: ClassVar[tuple[str, ...]] = ()
    peft_targets: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: ModelSpec, maker: Maker) -> None:
        self.spec = spec
        self.maker = maker
        self.plan: list[Template] = []

    @property
    def parameters(self) -> list[Parameter]:
        return self.maker.parameters

    @property
    def idle_parameters(self) -> int:
        """Parameters that a token does not pass: those of the experts that were not chosen for it."""
        return 0

    @property
    def unreached(self) -> int:
        """Parameters that are trained in name, but that no gradient reaches."""
        return 0

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        """How the names begin of those parameters that head-only training trains."""
        raise NotImplementedError

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        """Buffers that live on the device beside the parameters."""
        return []

    def embeddings(self) -> list[Parameter]:
        """The embedding tables, that of the tokens first."""
        raise NotImplementedError

    @property
    def output_weight(self) -> Parameter | None:
        """The matrix that gives a score for each word, if the model has one."""
        return None

    def inputs(self, tape: Tape, run: Run) -> Inputs:
        """What a pass is given, with ``labels`` to train on: here tokens, and their padding mask if there is one."""
        shape = (run.batch, run.length)
        found = {"input_ids": given(tape, shape, "input ids")}
        if run.training:
            found["labels"] = self.labels(tape, run)
        if run.padded:
            found["attention_mask"] = given(tape, shape, "padding mask")
        return found

    def labels(self, tape: Tape, run: Run) -> Tensor:
        """What the model is to give: here a word for each token."""
        return given(tape, (run.batch, run.length), "labels")

    def outputs(self, tape: Tape, inputs: Inputs, run: Run) -> list[Tensor]:
        """One forward pass without a cache: all that the model returns, its result first."""
        raise NotImplementedError

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """Forward pass and loss."""
        raise NotImplementedError


def given(tape: Tape, shape: Shape, name: str, fmt: Format = Format.INT64) -> Tensor:
    """A tensor of the caller: it stays what it is, whatever keeps it."""
    found = fresh(tape, shape, fmt, name)
    found.storage.record.name, found.storage.record.fixed = name, True
    return found


def resident(tape: Tape, shape: Shape, name: str, fmt: Format = Format.INT64) -> Tensor:
    """A view of a buffer of the model: it is counted with the weights, and needs no room of its own."""
    return Tensor(tape.storage((0,), fmt, name), shape, fmt)


def required(tape: Tape, run: Run, embeds: Tensor) -> None:
    """With checkpointing transformers makes the embedding's output need a gradient where nothing below it is trained
    [modeling_utils.py, enable_input_require_grads]."""
    if not run.checkpointing or embeds.needs_grad:
        return
    embeds.node = graph_leaf(tape)
    if embeds.node is not None:
        embeds.node.kept.append(embeds.storage)  # a leaf of the graph lives as long as it


def run_blocks(
    tape: Tape, plan: Sequence[Template], hidden: Tensor, run: Run, shared: Sequence[Tensor | None], block: Block
) -> Tensor:
    """The blocks of ``plan`` one after another, each in its section; with checkpointing a block keeps its input and
    what is ``shared`` by all."""
    phase = tape.sections[-1].phase
    kept = [one for one in shared if one is not None]
    for index, template in enumerate(plan):
        tape.begin(phase, template.label, template.repeat, template.group)
        hidden = recomputed(tape, index, hidden, kept, block) if run.checkpointing else block(index, hidden)
    return hidden


def recomputed(tape: Tape, index: int, hidden: Tensor, kept: Sequence[Tensor], block: Block) -> Tensor:
    """A block of which only its input and what is ``kept`` waits for backward, which runs it again."""
    return checkpointed(tape, lambda: block(index, hidden), [hidden, *kept])
