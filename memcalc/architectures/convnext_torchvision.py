"""torchvision's ConvNeXt: in training most blocks are left out for some pictures (stochastic depth), and sums are
written in place.

Mirrors torchvision 0.28 models/convnext.py and ops/stochastic_depth.py.
"""

from __future__ import annotations

from collections.abc import Callable

from memcalc.architectures.convnext import KERNEL, STEM, Block, ConvNeXt
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec
from memcalc.tensors import ops
from memcalc.tensors.ops import images, patches
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class TorchvisionConvNeXt(ConvNeXt):
    """The same layers as timm's under other names."""

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        return ("classifier.",)

    def build_head(self) -> None:
        self.norm = self.layer_norm("classifier.0", self.spec.widths[-1])
        self.head = self.maker.linear("classifier", "2", self.spec.widths[-1], self.spec.labels, True, kept=True)

    def scores(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        x = images.convolution(pixels, self.stem, self.stem_bias, STEM, 0)
        x = images.normed_by_channel(x, self.stem_norm)
        for stage in range(len(self.spec.depths)):
            if stage:
                tape.begin(tape.sections[-1].phase, f"between stages {stage} and {stage + 1}")
                x = self.halved(self.halvings[stage - 1], x)
            x = self.staged(tape, stage, x, run)
        tape.begin(tape.sections[-1].phase, "head")
        x = images.average(x, strided=True)
        x = self.norm(x)
        return self.head(x)

    def runner(self, blocks: list[Block], layers: list[int], last: bool, run: Run) -> Callable[[int, Tensor], Tensor]:
        drops = [run.training and layer > 0 for layer in layers]
        return lambda index, x: self.summed(blocks[index], x, last, drops[index])

    def summed(self, one: Block, given: Tensor, last: bool, drops: bool) -> Tensor:
        """One block; ``drops``: left out for some pictures."""
        batch, channels, high, wide = given.shape
        turn = patches.turned if last else patches.seen
        x = images.convolution(given, one.weight, one.bias, 1, KERNEL // 2)
        x = patches.seen(x, batch, high, wide, channels)
        x = one.norm(x)
        x = one.wide(x)
        x = ops.gelu(x)
        x = one.narrow(x)
        x = turn(x, *given.shape)
        x = images.scaled(x, one.scale, first=True)
        if drops:
            x = images.dropped_rows(x)
        return images.add_in_place(x, given)
