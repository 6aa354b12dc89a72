"""What all classifiers of pictures share: pixels in, a score for each label out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from memcalc.architectures.program import Inputs, Program, given
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec
from memcalc.tensors import ops
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class ImageSpec(ModelSpec):
    """A classifier of square pictures with ``side`` pixels a side where none are asked for, in ``labels`` classes.
    ``library``: whose code it is."""

    side: int = 224
    labels: int = 1000
    channels: int = 3
    library: str = "torchvision"

    @property
    def generates(self) -> bool:
        return False

    @property
    def scores_words(self) -> bool:
        return False

    @property
    def sees(self) -> bool:
        return True

    @property
    def attention_free(self) -> bool:
        return True

    @property
    def convolves(self) -> bool:
        """Whether convolutions are most of what it does."""
        return True

    @property
    def blocked(self) -> bool:
        """Whether it is a row of blocks that can be told apart by name: what shards or steps block by block needs."""
        return True

    @property
    def has_eager(self) -> bool:
        """Whether its attention can also be had written out in Python."""
        return False

    @property
    def methods(self) -> tuple[str, ...]:
        """What can be trained of it."""
        return ("full", "head")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """How its blocks can be checkpointed."""
        return ("none",)

    def tokens(self, side: int) -> int:
        """Tokens that a picture of ``side`` pixels a side becomes: 1, unless the model attends to parts of it."""
        return 1

    def sized(self, side: int) -> ImageSpec:
        """The model as it is built for pictures of ``side`` pixels a side."""
        return replace(self, side=side, max_positions=self.tokens(side))

    def resized(self, side: int) -> list[str]:
        """What is to be said where pictures are not of the model's own size."""
        return []

    def widest(self, side: int) -> int:
        """Values of the largest map of one picture that a convolution reads or writes."""
        raise NotImplementedError


class Classifier(Program):
    """A classifier of pictures. Families give ``scores``."""

    spec: ImageSpec

    def embeddings(self) -> list[Parameter]:
        return []

    def inputs(self, tape: Tape, run: Run) -> Inputs:
        """Pixels in the weights' format, and a label for each picture."""
        side = run.side
        found = {"pixel_values": given(tape, (run.batch, self.spec.channels, side, side), "pixels", self.maker.format)}
        if run.training:
            found["labels"] = given(tape, (run.batch,), "labels")
        return found

    def scores(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        """From pixels (batch, channels, side, side) to logits (batch, labels)."""
        raise NotImplementedError

    def outputs(self, tape: Tape, inputs: Inputs, run: Run) -> list[Tensor]:
        return [self.scores(tape, inputs["pixel_values"], run)]

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """Forward pass and cross entropy of the logits as they are."""
        logits = self.scores(tape, inputs["pixel_values"], run)
        return ops.cross_entropy(logits, inputs["labels"])
