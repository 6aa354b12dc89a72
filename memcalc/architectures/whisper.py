"""Whisper: two convolutions over a spectrogram of 30 seconds, an encoder of fixed length, a decoder of text.

Mirrors transformers 5.23 models/whisper/modeling_whisper.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.bart_blocks import BartBlocks, BartSpec, Side, uncausal
from memcalc.architectures.encoder import make_norm
from memcalc.architectures.layers import Linear
from memcalc.architectures.program import Inputs, given
from memcalc.architectures.run import Run
from memcalc.architectures.seq2seq import causal_mask, side
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.images import convolution
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

KERNEL = 3
"""Frames that each of the two convolutions sees; the second makes one position of two frames."""


@dataclass(frozen=True, slots=True)
class WhisperSpec(BartSpec):
    """``mels``: values of the spectrogram in each frame."""

    mels: int = 80


class Whisper(BartBlocks):
    """LayerNorms first; queries scaled before they are split; the encoder's positions are sines that nothing trains.

    Checkpointing makes embeddings need a gradient only where a model's main input are tokens, which here are none
    [modeling_utils.py, _activation_checkpointing_enable]."""

    spec: WhisperSpec
    by_head: ClassVar[bool] = True
    shifts_first: ClassVar[bool] = True
    peft_targets: ClassVar[tuple[str, ...]] = ()

    def build(self) -> None:
        make, spec, h = self.maker, self.spec, self.spec.hidden
        self.convolutions = [
            (
                make.parameter(f"encoder.{name}.weight", h, inputs, KERNEL),
                make.parameter(f"encoder.{name}.bias", h),
            )
            for name, inputs in (("conv1", spec.mels), ("conv2", h))
        ]
        self.encoder_positions = make.parameter("encoder.embed_positions.weight", spec.sources, h)
        self.encoder_positions.trainable = False
        self.blocks = self.make_blocks(self.encoder_plan, False)
        self.encoder_norm = make_norm(make, "encoder.layer_norm", h)
        self.positions = make.parameter("decoder.embed_positions.weight", spec.max_targets, h)
        self.blocks += self.make_blocks(self.decoder_plan, True)
        self.decoder_norm = make_norm(make, "decoder.layer_norm", h)
        self.head = Linear(self.table if spec.tied else make.head("lm_head.weight", (spec.vocab, h)))

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.encoder_positions, self.positions]

    def read(self, tape: Tape, run: Run) -> Inputs:
        """The spectrogram: two frames for each of the encoder's positions."""
        shape = (run.batch, self.spec.mels, 2 * self.spec.sources)
        return {"input_features": given(tape, shape, "input features", run.compute)}

    def queried(self, x: Tensor) -> Tensor:
        return ops.scale(x)

    def encode(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        run, spec = side(run, self.spec.sources, False), self.spec
        (first, first_bias), (second, second_bias) = self.convolutions
        x = convolution(inputs["input_features"], first, first_bias, 1, 1)
        x = ops.gelu(x)
        x = ops.gelu(convolution(x, second, second_bias, 2, 1))
        embeds = x.view(run.batch, spec.sources, spec.hidden)
        del x
        every = fresh(tape, (spec.sources,), Format.INT64, "arange")
        begun = [self._dropped(ops.add(embeds, ops.embedding(every, self.encoder_positions)), run)]
        hidden = self.run_side(tape, Side(run, spec.encoder_heads), begun)
        tape.begin(tape.sections[-1].phase, "encoder's end")
        hidden = self.encoder_norm(hidden)
        del embeds, every
        return hidden

    def decode(self, tape: Tape, ids: Tensor, encoded: Tensor | None, run: Run) -> Tensor:
        tape.begin(tape.sections[-1].phase, "decoder's embedding")
        spec, run = self.spec, side(run, run.target, True)
        embeds = ops.embedding(ids, self.table)
        position_ids = self._position_ids(tape, run)
        positions = ops.embedding(position_ids, self.positions)
        begun = [self._dropped(ops.add(embeds, positions), run)]
        mask = causal_mask(tape, run, embeds.format)
        given = Side(run, spec.heads, uncausal(run), spec.sources, encoded, mask)
        hidden = self.run_side(tape, given, begun)
        tape.begin(tape.sections[-1].phase, "decoder's end")
        hidden = self.decoder_norm(hidden)
        del embeds, position_ids, positions
        return hidden

    def _dropped(self, x: Tensor, run: Run) -> Tensor:
        return ops.dropout(x, self.spec.residual_dropout if run.training else 0.0)

    def _position_ids(self, tape: Tape, run: Run) -> Tensor:
        counted = fresh(tape, (run.length,), Format.INT64, "arange")
        moved = fresh(tape, (run.length,), Format.INT64, "add")
        del counted
        repeated = fresh(tape, (run.batch, run.length), Format.INT64, "repeat")
        del moved
        return repeated
