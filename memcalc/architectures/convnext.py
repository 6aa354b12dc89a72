"""ConvNeXt: convolutions of one channel each, then a feed-forward over the channels, with a learned scale for each.

Mirrors timm 1.0 models/convnext.py and torchvision 0.28 models/convnext.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.encoder import make_norm
from memcalc.architectures.images import Classifier, ImageSpec
from memcalc.architectures.layers import Linear, Maker, Norm
from memcalc.architectures.program import run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec, templates
from memcalc.tensors import ops
from memcalc.tensors.ops import images, patches
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

STEM, KERNEL = 4, 7
"""Pixels a side of what the first convolution joins; of the window of the others."""


@dataclass(frozen=True, slots=True)
class ConvNeXtSpec(ImageSpec):
    """``depths``: blocks in each stage; ``widths``: their channels."""

    depths: tuple[int, ...] = (3, 3, 9, 3)
    widths: tuple[int, ...] = (96, 192, 384, 768)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return ("none", "full") if self.library == "timm" else ("none",)

    def stage(self, layer: int) -> int:
        """The number of the stage that a block is in."""
        for stage, depth in enumerate(self.depths):
            if layer < depth:
                return stage
            layer -= depth
        raise IndexError(layer)

    def kind(self, layer: int) -> object:
        """Its stage, and whether it is the first of all."""
        return self.stage(layer), layer == 0

    def widest(self, side: int) -> int:
        """What the first stage's feed-forward makes."""
        return int(self.widths[0] * images.convolved(side, STEM, STEM, 0) ** 2)


@dataclass(slots=True)
class Block:
    """The layers of one block."""

    weight: Parameter
    bias: Parameter
    norm: Norm
    wide: Linear
    narrow: Linear
    scale: Parameter


@dataclass(slots=True)
class Halving:
    """What lies between two stages: a norm, and a convolution that halves the side."""

    norm: Norm
    weight: Parameter
    bias: Parameter


class ConvNeXt(Classifier):
    """timm's: stem, four stages, the mean over the picture, a norm and a linear layer."""

    linear_names: ClassVar[tuple[str, ...]] = ()
    spec: ConvNeXtSpec

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        widths = self.spec.widths
        self.plan = templates([self.spec.kind(one) for one in range(spec.layers)], unroll)
        self.stem = maker.parameter("stem.0.weight", widths[0], self.spec.channels, STEM, STEM)
        self.stem_bias = maker.parameter("stem.0.bias", widths[0])
        self.stem_norm = self.layer_norm("stem.1", widths[0])
        self.halvings = [self._halving(stage) for stage in range(1, len(widths))]
        self.blocks = [self._block(one.label, widths[self.spec.stage(one.layer)], one.repeat) for one in self.plan]
        self.build_head()

    def build_head(self) -> None:
        """Make the layers after the last stage."""
        self.norm = self.layer_norm("head.norm", self.spec.widths[-1])
        self.head = self.maker.linear("head", "fc", self.spec.widths[-1], self.spec.labels, True, kept=True)

    def layer_norm(self, path: str, width: int, repeat: int = 1) -> Norm:
        """A norm over the channels."""
        return make_norm(self.maker, path, width, repeat)

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        return ("head.",)

    def _halving(self, stage: int) -> Halving:
        before, after = self.spec.widths[stage - 1 : stage + 1]
        name = f"downsample.{stage}"
        norm = self.layer_norm(f"{name}.0", before)
        weight = self.maker.parameter(f"{name}.1.weight", after, before, 2, 2)
        weight.reordered = True
        return Halving(norm, weight, self.maker.parameter(f"{name}.1.bias", after))

    def _block(self, path: str, width: int, repeat: int) -> Block:
        make = self.maker
        weight = make.parameter(f"{path}.conv_dw.weight", width, 1, KERNEL, KERNEL, repeat=repeat)
        bias = make.parameter(f"{path}.conv_dw.bias", width, repeat=repeat)
        norm = self.layer_norm(f"{path}.norm", width, repeat)
        wide = make.linear(f"{path}.mlp", "fc1", width, 4 * width, True, repeat)
        narrow = make.linear(f"{path}.mlp", "fc2", 4 * width, width, True, repeat)
        return Block(weight, bias, norm, wide, narrow, make.parameter(f"{path}.gamma", width, repeat=repeat))

    def scores(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        x = images.convolution(pixels, self.stem, self.stem_bias, STEM, 0)
        x = stem = images.normed_by_channel(x, self.stem_norm)
        for stage in range(len(self.spec.depths)):
            given = x  # what a stage was given lives as long as the stage
            if stage:
                tape.begin(tape.sections[-1].phase, f"between stages {stage} and {stage + 1}")
                x = self.halved(self.halvings[stage - 1], x)
            x = self.staged(tape, stage, x, run)
            del given
        tape.begin(tape.sections[-1].phase, "head")
        pooled = images.average(x, strided=True)
        pooled = self.norm(pooled)
        scores = self.head(pooled)
        del stem
        return scores

    def halved(self, halving: Halving, x: Tensor) -> Tensor:
        """From one stage to the next."""
        x = images.normed_by_channel(x, halving.norm)
        return images.convolution(x, halving.weight, halving.bias, 2, 0)

    def staged(self, tape: Tape, stage: int, x: Tensor, run: Run) -> Tensor:
        """The blocks of a stage. In the last one gradients come laid out picture by picture, and are copied."""
        pairs = [pair for pair in zip(self.plan, self.blocks, strict=True) if self.spec.stage(pair[0].layer) == stage]
        blocks, plan = [block for _, block in pairs], [one for one, _ in pairs]
        last = stage == len(self.spec.depths) - 1
        return run_blocks(tape, plan, x, run, (), self.runner(blocks, [one.layer for one in plan], last, run))

    def runner(self, blocks: list[Block], layers: list[int], last: bool, run: Run) -> Callable[[int, Tensor], Tensor]:
        """How the blocks of a stage, which are these ``layers``, are run."""
        return lambda index, x: self.block(blocks[index], x, last)

    def block(self, one: Block, x: Tensor, last: bool) -> Tensor:
        """One block; ``last``: of the last stage."""
        shortcut = x
        batch, channels, high, wide = x.shape
        x = images.convolution(x, one.weight, one.bias, 1, KERNEL // 2)
        x = patches.seen(x, batch, high, wide, channels)
        x = one.norm(x)
        x = self._feed_forward(one, x)
        x = patches.turned(x, *shortcut.shape) if last else patches.seen(x, *shortcut.shape)
        x = images.scaled(x, one.scale)
        return ops.add(x, shortcut)

    def _feed_forward(self, one: Block, normed: Tensor) -> Tensor:
        x = one.wide(normed)
        x = ops.gelu(x)
        return one.narrow(x)
