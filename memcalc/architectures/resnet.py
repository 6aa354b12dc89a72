"""ResNet, ResNeXt and wide ResNet: convolutions, batch norms and sums written in place.

Mirrors torchvision 0.28 models/resnet.py; timm 1.0 models/resnet.py allocates the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.images import Classifier, ImageSpec
from memcalc.architectures.layers import Maker
from memcalc.architectures.program import run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec, templates
from memcalc.formats import Format
from memcalc.tensors.ops import images
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages, before a bottleneck widens them fourfold."""


@dataclass(frozen=True, slots=True)
class ResNetSpec(ImageSpec):
    """``depths``: blocks in each of the four stages; ``expansion``: 1 (two convolutions a block) or 4 (bottlenecks of
    three); ``groups`` and ``base_width`` as ResNeXt and wide ResNet set them."""

    depths: tuple[int, ...] = (3, 4, 6, 3)
    expansion: int = 4
    groups: int = 1
    base_width: int = 64

    def kind(self, layer: int) -> object:
        """Its stage, and whether it is the first of it."""
        for stage, depth in enumerate(self.depths):
            if layer < depth:
                return stage, layer == 0
            layer -= depth
        raise IndexError(layer)

    def widest(self, side: int) -> int:
        """The stem's: 64 channels at half the side."""
        return int(WIDTHS[0] * images.convolved(side, 7, 2, 3) ** 2)


@dataclass(slots=True)
class Convolution:
    """A convolution without bias and the batch norm behind it."""

    weight: Parameter
    scale: Parameter
    shift: Parameter
    stride: int

    def convolved(self, x: Tensor) -> Tensor:
        return images.convolution(x, self.weight, None, self.stride, self.weight.shape[2] // 2)

    def normed(self, x: Tensor) -> Tensor:
        return images.batch_norm(x, self.scale, self.shift)


@dataclass(slots=True)
class Block:
    """The convolutions of one block, and the one that its input takes to the sum where its shape changes."""

    steps: list[Convolution]
    shortcut: Convolution | None = None


class ResNet(Classifier):
    """A stem, four stages of residual blocks, a mean over the picture and a linear layer."""

    linear_names: ClassVar[tuple[str, ...]] = ("fc",)
    spec: ResNetSpec

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        self.normed: list[Convolution] = []
        self.plan = templates([self.spec.kind(one) for one in range(spec.layers)], unroll)
        self.stem = self._convolution("conv1", "bn1", 3, WIDTHS[0], 7, 2)
        width = WIDTHS[0]
        self.blocks: list[Block] = []
        for one in self.plan:
            self.blocks.append(self._block(one.label, one.layer, width, one.repeat))
            width = WIDTHS[self._stage(one.layer)] * self.spec.expansion
        self.head = maker.linear("", "fc", width, self.spec.labels, True, kept=True)

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        return ("fc.",)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        """The running mean and variance of each batch norm, and how many batches it has seen."""
        found: list[tuple[str, tuple[int, ...], Format]] = []
        for one in self.normed:
            figures = (("running_mean", one.scale.shape, one.scale.format),
                       ("running_var", one.scale.shape, one.scale.format),
                       ("num_batches_tracked", (), Format.INT64))  # fmt: skip
            found += list(figures) * one.scale.repeat
        return found

    def _stage(self, layer: int) -> int:
        kind = self.spec.kind(layer)
        assert isinstance(kind, tuple)
        return int(kind[0])

    def _convolution(
        self, name: str, norm: str, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1,
        repeat: int = 1,
    ) -> Convolution:  # fmt: skip
        make = self.maker
        one = Convolution(
            make.parameter(f"{name}.weight", outputs, inputs // groups, kernel, kernel, repeat=repeat),
            make.parameter(f"{norm}.weight", outputs, repeat=repeat),
            make.parameter(f"{norm}.bias", outputs, repeat=repeat),
            stride,
        )
        self.normed.append(one)
        return one

    def _block(self, path: str, layer: int, inputs: int, repeat: int) -> Block:
        spec, stage = self.spec, self._stage(layer)
        first = spec.kind(layer) == (stage, True)
        stride = 2 if first and stage else 1
        planes, outputs = WIDTHS[stage], WIDTHS[stage] * spec.expansion
        width = planes * spec.base_width // 64 * spec.groups
        # (inputs, outputs, kernel, stride, groups) of each convolution.
        shapes = [(inputs, planes, 3, stride, 1), (planes, outputs, 3, 1, 1)]
        if spec.expansion > 1:
            shapes = [(inputs, width, 1, 1, 1), (width, width, 3, stride, spec.groups), (width, outputs, 1, 1, 1)]
        steps = [
            self._convolution(f"{path}.conv{number}", f"{path}.bn{number}", *shape, repeat=repeat)
            for number, shape in enumerate(shapes, 1)
        ]
        if stride == 1 and inputs == outputs:
            return Block(steps)
        names = (f"{path}.downsample.0", f"{path}.downsample.1")
        return Block(steps, self._convolution(*names, inputs, outputs, 1, stride, repeat=repeat))

    def scores(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        x = self.stem.convolved(pixels)
        x = self.stem.normed(x)
        x = images.relu_in_place(x)
        x = images.max_pool(x, 3, 2, 1)
        for stage in range(len(self.spec.depths)):  # what a stage was given lives as long as the stage
            pairs = [pair for pair in zip(self.plan, self.blocks, strict=True) if self._stage(pair[0].layer) == stage]
            blocks = [block for _, block in pairs]
            x = run_blocks(tape, [one for one, _ in pairs], x, run, (), self._runner(blocks))
        tape.begin(tape.sections[-1].phase, "head")
        x = images.average(x)
        return self.head(x)

    def _runner(self, blocks: list[Block]) -> Callable[[int, Tensor], Tensor]:
        return lambda index, x: self._run(blocks[index], x)

    def _run(self, block: Block, x: Tensor) -> Tensor:
        out = identity = x
        for step in block.steps:
            out = step.convolved(out)
            out = step.normed(out)
            if step is not block.steps[-1]:
                out = images.relu_in_place(out)
        if block.shortcut is not None:
            identity = block.shortcut.convolved(x)
            identity = block.shortcut.normed(identity)
        return images.relu_in_place(images.add_in_place(out, identity))
