"""Diffusion transformers (DiT): patches of latents as tokens, whose blocks are scaled and shifted by what a time step
and a label say.

Mirrors diffusers 0.42 models/transformers/dit_transformer_2d.py, models/attention.py, models/normalization.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from memcalc.architectures.denoiser import LATENT, Denoiser, DenoiserSpec, embedded_time, sinusoids
from memcalc.architectures.layers import Linear, Maker
from memcalc.architectures.program import Inputs, given, resident, run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec, templates
from memcalc.architectures.unet_blocks import Attention
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import images, patches
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

SINUSOIDS = 256
"""Sines and cosines of a time step."""


@dataclass(frozen=True, slots=True)
class DiTSpec(DenoiserSpec):
    """``patch``: latents a side of a patch; ``classes``: of labels, with one more for none."""

    patch: int = 2
    classes: int = 1000

    @property
    def convolves(self) -> bool:
        return False

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return ("none", "full")

    def tokens(self, side: int) -> int:
        return (side // LATENT // self.patch) ** 2

    def resized(self, side: int) -> list[str]:
        return [f"pictures of {side} × {side} pixels: the model is taken as built for them, with as many positions"]

    def widest(self, side: int) -> int:
        """What the patches become."""
        return self.hidden * self.tokens(side)


@dataclass(slots=True)
class Block:
    """One block: what it makes of the time step and the label, its attention and its feed-forward."""

    time: tuple[Linear, Linear]
    table: Parameter
    modulation: Linear
    attention: Attention
    wide: Linear
    narrow: Linear


class DiT(Denoiser):
    """DiTTransformer2DModel."""

    linear_names: ClassVar[tuple[str, ...]] = ()
    spec: DiTSpec

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        spec, h = self.spec, self.spec.hidden
        self.plan = templates([None] * spec.layers, unroll)
        self.weight = maker.parameter("pos_embed.proj.weight", h, spec.channels, spec.patch, spec.patch)
        self.shift = maker.parameter("pos_embed.proj.bias", h)
        self.blocks = [self._block(one.label, one.repeat) for one in self.plan]
        self.modulation = maker.linear("", "proj_out_1", h, 2 * h, True)
        self.leave = maker.linear("", "proj_out_2", h, spec.patch**2 * spec.outputs, True)

    def _block(self, path: str, repeat: int) -> Block:
        make, h, wide = self.maker, self.spec.hidden, self.spec.ffn
        embedder = f"{path}.norm1.emb.timestep_embedder"
        return Block(
            (
                make.linear(embedder, "linear_1", SINUSOIDS, h, True, repeat),
                make.linear(embedder, "linear_2", h, h, True, repeat),
            ),
            make.parameter(f"{path}.norm1.emb.class_embedder.weight", self.spec.classes + 1, h, repeat=repeat),
            make.linear(f"{path}.norm1", "linear", h, 6 * h, True, repeat),
            Attention.make(make, f"{path}.attn1", h, h, self.spec.heads, True, repeat),
            make.linear(f"{path}.ff.net", "0.proj", h, wide, True, repeat),
            make.linear(f"{path}.ff.net", "2", wide, h, True, repeat),
        )

    def embeddings(self) -> list[Parameter]:
        return [one.table for one in self.blocks for _ in range(one.table.repeat)]

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        """Sines and cosines of each position."""
        return [("pos_embed", (1, self.spec.tokens(self.spec.side), self.spec.hidden), self.maker.format)]

    def condition(self, tape: Tape, run: Run) -> Inputs:
        return {"class_labels": given(tape, (run.batch,), "labels")}

    def denoised(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        run = replace(run, attention=replace(run.attention, causal=False))
        labels = inputs["class_labels"]
        shared = (inputs["timestep"], labels)
        runner = self._runner(labels, run)
        # Nobody but the loop holds what the first block is given.
        hidden = run_blocks(tape, self.plan, self._entered(tape, inputs["sample"], run), run, shared, runner)
        tape.begin(tape.sections[-1].phase, "output")
        said = _conditioning(self.blocks[0], labels, hidden.format, run)
        both = self.modulation(ops.silu(said))
        shift, scale = ops.chunk_last(both, 2)
        hidden = _modulated(hidden, scale, shift)
        hidden = self.leave(hidden)
        out = patches.copied(hidden)  # each patch back in its place
        side = run.side // LATENT
        del said, both, shift, scale, hidden
        return out.view(run.batch, self.spec.outputs, side, side)

    def _entered(self, tape: Tape, sample: Tensor, run: Run) -> Tensor:
        """Each patch as a token, with its position."""
        tokens = self.spec.tokens(self.spec.side)
        x = images.convolution(sample, self.weight, self.shift, self.spec.patch, 0)
        x = patches.seen(x, run.batch, tokens, self.spec.hidden)
        positions = resident(tape, (1, tokens, self.spec.hidden), "positions", self.maker.format)
        return ops.to(ops.add(x, positions), x.format)

    def _runner(self, labels: Tensor, run: Run) -> Callable[[int, Tensor], Tensor]:
        return lambda index, x: _run(self.blocks[index], x, labels, run)


def _run(one: Block, hidden: Tensor, labels: Tensor, run: Run) -> Tensor:
    """BasicTransformerBlock with ada_norm_zero."""
    said = _conditioning(one, labels, hidden.format, run)
    parts = ops.chunk_last(one.modulation(ops.silu(said)), 6)
    del said
    shift, scale, gate, ff_shift, ff_scale, ff_gate = parts
    normed = _modulated(hidden, scale, shift)
    attended = one.attention(normed, normed, run)
    attended = ops.mul(attended, _for_all(gate))
    hidden = ops.add(attended, hidden)
    normed = ops.layer_norm(hidden, None, None)
    normed = ops.add(ops.mul(normed, ops.add_scalar(_for_all(ff_scale))), _for_all(ff_shift))
    fed = one.wide(normed)
    fed = ops.gelu(fed)
    fed = one.narrow(fed)
    fed = ops.mul(fed, _for_all(ff_gate))
    hidden = ops.add(fed, hidden)
    del parts, shift, scale, gate, ff_shift, ff_scale, ff_gate, normed, attended, fed
    return hidden


def _conditioning(one: Block, labels: Tensor, fmt: Format, run: Run) -> Tensor:
    """CombinedTimestepLabelEmbeddings; in training some labels are replaced by that for none."""
    tape = labels.tape
    steps = sinusoids(tape, run.batch, SINUSOIDS, Format.FP32)
    cast = steps if fmt is Format.FP32 else fresh(tape, steps.shape, fmt, "to")
    time = embedded_time(*one.time, cast)
    del cast
    if run.training:
        labels = fresh(tape, labels.shape, Format.INT64, "where (labels)")
    said = ops.add(time, ops.embedding(labels, one.table))
    del steps, time
    return said


def _modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``layer_norm(x) * (1 + scale) + shift``."""
    x = _scaled(x, scale)
    return ops.add(x, _for_all(shift))


def _scaled(x: Tensor, scale: Tensor) -> Tensor:
    normed = ops.layer_norm(x, None, None)
    return ops.mul(normed, ops.add_scalar(_for_all(scale)))


def _for_all(x: Tensor) -> Tensor:
    """(batch, values) as it is spread over tokens."""
    return x.view(x.shape[0], 1, x.shape[1])
