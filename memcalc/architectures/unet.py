"""The U-Net of Stable Diffusion 1.x by itself: trained on noise, or run once.

Mirrors diffusers 0.42 models/unets/unet_2d_condition.py and unet_2d_blocks.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from memcalc.architectures.denoiser import Denoiser, DenoiserSpec, embedded_time, sinusoids
from memcalc.architectures.layers import Maker
from memcalc.architectures.program import Inputs, given
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec
from memcalc.architectures.unet_blocks import Resnet, Step, Transformer, make_conv, make_group_norm
from memcalc.tensors import ops
from memcalc.tensors.ops import maps
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class UNetModelSpec(DenoiserSpec):
    """``widths``: channels of each level, the finest first; ``attends``: which of them attend, on the way down and on
    the way up; ``depth``: residual blocks of a level."""

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    attends: tuple[bool, ...] = (True, True, True, False)
    level_heads: tuple[int, ...] = (8, 8, 8, 8)
    depth: int = 2

    @property
    def blocked(self) -> bool:
        return False

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return ("none", "full")

    def widest(self, side: int) -> int:
        """What the last level joins."""
        return 2 * self.widths[0] * self.tokens(side)


@dataclass(slots=True)
class Level:
    """Residual blocks, their attentions (if it has any), and what leads to the next level."""

    resnets: list[Resnet]
    attentions: list[Transformer]
    passage: Step | None


class UNet(Denoiser):
    """UNet2DConditionModel."""

    linear_names: ClassVar[tuple[str, ...]] = ("to_q", "to_k", "to_v", "to_out.0")
    spec: UNetModelSpec

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        spec, widths = self.spec, self.spec.widths
        time = 4 * widths[0]
        self.enter = make_conv(maker, "conv_in", spec.channels, widths[0])
        self.time = (
            maker.linear("time_embedding", "linear_1", widths[0], time, True),
            maker.linear("time_embedding", "linear_2", time, time, True),
        )
        kept, before = [widths[0]], widths[0]
        self.down: list[Level] = []
        for i, width in enumerate(widths):
            name, coarser = f"down_blocks.{i}", i < len(widths) - 1
            inputs = [before] + [width] * (spec.depth - 1)
            self.down.append(self._level(name, i, inputs, width, time))
            if coarser:
                self.down[-1].passage = make_conv(maker, f"{name}.downsamplers.0.conv", width, width, stride=2)
            kept += [width] * (spec.depth + coarser)
            before = width
        self.middle = self._level("mid_block", -1, [before, before], before, time, 1)
        self.up: list[Level] = []
        for i, width in enumerate(reversed(widths)):
            inputs = []
            for _ in range(spec.depth + 1):
                inputs.append(before + kept.pop())
                before = width
            self.up.append(self._level(f"up_blocks.{i}", len(widths) - 1 - i, inputs, width, time))
            if i < len(widths) - 1:
                self.up[-1].passage = make_conv(maker, f"up_blocks.{i}.upsamplers.0.conv", width, width)
        self.norm = make_group_norm(maker, "conv_norm_out", widths[0])
        self.leave = make_conv(maker, "conv_out", widths[0], spec.outputs)

    def _level(
        self, name: str, level: int, inputs: list[int], width: int, time: int, attentions: int | None = None
    ) -> Level:
        """``attentions``: how many, where not as many as residual blocks."""
        make, spec = self.maker, self.spec
        if attentions is None:
            attentions = len(inputs) if spec.attends[level] else 0
        heads = spec.level_heads[level]
        return Level(
            [Resnet(make, f"{name}.resnets.{j}", one, width, time) for j, one in enumerate(inputs)],
            [Transformer(make, f"{name}.attentions.{j}", width, spec.text_width, heads) for j in range(attentions)],
            None,
        )

    def condition(self, tape: Tape, run: Run) -> Inputs:
        shape = (run.batch, run.text, self.spec.text_width)
        return {"encoder_hidden_states": given(tape, shape, "prompt embeddings", self.maker.format)}

    def denoised(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        run = replace(run, attention=replace(run.attention, causal=False))
        phase, text = tape.sections[-1].phase, inputs["encoder_hidden_states"]
        sample = inputs["sample"]
        steps = sinusoids(tape, run.batch, self.spec.widths[0], sample.format)
        time = embedded_time(*self.time, steps)
        sample = self.enter(sample)
        kept = [sample]
        for number, level in enumerate(self.down, 1):
            tape.begin(phase, f"down, level {number}")
            sample = _down(level, sample, time, text, run, kept)
        tape.begin(phase, "middle")
        sample = self._middle(sample, time, text, run)
        for number, level in enumerate(self.up):
            tape.begin(phase, f"up, level {len(self.up) - number}")
            aside = kept[-len(level.resnets) :]
            del kept[-len(level.resnets) :]
            sample = _up(level, sample, aside, kept, time, text, run)
        tape.begin(phase, "output")
        sample = self.norm(sample)
        sample = ops.silu(sample)
        sample = self.leave(sample)
        del steps, time, aside, kept
        return sample

    def _middle(self, hidden: Tensor, time: Tensor, text: Tensor, run: Run) -> Tensor:
        first, second = self.middle.resnets
        hidden = first.made(hidden, time)  # never checkpointed
        hidden = self.middle.attentions[0](hidden, text, run)
        return second(hidden, time, run)


def _down(level: Level, hidden: Tensor, time: Tensor, text: Tensor, run: Run, kept: list[Tensor]) -> Tensor:
    """One level on the way down; each result is ``kept`` for the way up."""
    for j, resnet in enumerate(level.resnets):
        hidden = resnet(hidden, time, run)
        if level.attentions:
            hidden = level.attentions[j](hidden, text, run)
        kept.append(hidden)
    if level.passage is not None:
        hidden = level.passage(hidden)
        kept.append(hidden)
    return hidden


def _up(
    level: Level, hidden: Tensor, aside: list[Tensor], kept: list[Tensor], time: Tensor, text: Tensor, run: Run
) -> Tensor:
    """One level on the way up, each block joined with what was kept ``aside``."""
    for j, resnet in enumerate(level.resnets):
        hidden = maps.cat_channels(hidden, aside[-1 - j])
        hidden = resnet(hidden, time, run)
        if level.attentions:
            hidden = level.attentions[j](hidden, text, run)
    if level.passage is not None:
        hidden = maps.upsampled(hidden, *kept[-1].shape[2:])
        hidden = level.passage(hidden)
    return hidden
