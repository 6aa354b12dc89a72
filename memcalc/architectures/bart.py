"""BART and mBART: learned positions, a LayerNorm over the embeddings, a bias over the vocabulary that nothing trains.

Mirrors transformers 5.23 models/{bart,mbart}/modeling_*.py.
"""

from __future__ import annotations

from typing import ClassVar

from memcalc.architectures.bart_blocks import BartBlocks, Side, uncausal
from memcalc.architectures.encoder import make_norm, padding_mask
from memcalc.architectures.layers import Linear
from memcalc.architectures.program import Inputs, resident
from memcalc.architectures.run import Run
from memcalc.architectures.seq2seq import causal_mask, required, side
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

OFFSET = 2
"""Positions begin at the third row of their tables, as in the original code."""


class Bart(BartBlocks):
    """One table of tokens for both sides and the head, a table of positions for each."""

    shifts_first: ClassVar[bool] = True

    def build(self) -> None:
        make, spec, h = self.maker, self.spec, self.spec.hidden
        rows = spec.max_positions + OFFSET
        self.encoder_positions = make.parameter("encoder.embed_positions.weight", rows, h)
        self.blocks = self.make_blocks(self.encoder_plan, False)
        self.embedding_norms = {"encoder": make_norm(make, "encoder.layernorm_embedding", h)}
        self.last_norms = {}
        if spec.norm_first:
            self.last_norms["encoder"] = make_norm(make, "encoder.layer_norm", h)
        self.positions = make.parameter("decoder.embed_positions.weight", rows, h)
        self.blocks += self.make_blocks(self.decoder_plan, True)
        self.embedding_norms["decoder"] = make_norm(make, "decoder.layernorm_embedding", h)
        if spec.norm_first:
            self.last_norms["decoder"] = make_norm(make, "decoder.layer_norm", h)
        self.head = Linear(self.table if spec.tied else make.head("lm_head.weight", (spec.vocab, h)))

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return [("final_logits_bias", (1, self.spec.vocab), self.maker.format)]

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.encoder_positions, self.positions]

    def project_out(self, hidden: Tensor) -> Tensor:
        logits = self.head(hidden)
        bias = resident(logits.tape, (1, self.spec.vocab), "final_logits_bias", self.maker.format)
        return ops.add(logits, bias)

    def limited(self, x: Tensor) -> Tensor:
        """BART looks for infinities, and finds none; mBART clamps always."""
        if self.spec.norm_first:
            return super().limited(x)
        tape, shape = x.tape, x.shape
        same = fresh(tape, shape, Format.BOOL, "eq")
        size = fresh(tape, shape, x.format, "abs")
        finite = fresh(tape, shape, Format.BOOL, "ne")
        del size
        both = fresh(tape, shape, Format.BOOL, "mul")
        del same, finite, both
        return x

    def encode(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        run = side(run, run.length, False)
        embeds = self._looked_up(tape, inputs["input_ids"], run)
        counted = fresh(tape, (run.length,), Format.INT64, "arange")
        moved = fresh(tape, (run.batch, run.length), Format.INT64, "positions + 2")
        positions = ops.embedding(moved, self.encoder_positions)
        del counted, moved
        begun = [self._begun("encoder", embeds, positions, run)]
        mask = padding_mask(tape, run, run.length, embeds.format)
        hidden = self.run_side(tape, Side(run, self.spec.encoder_heads, mask=mask), begun)
        del embeds, positions
        return self._ended(tape, "encoder", hidden)

    def decode(self, tape: Tape, ids: Tensor, encoded: Tensor | None, run: Run) -> Tensor:
        tape.begin(tape.sections[-1].phase, "decoder's embedding")
        source = self.source(run)
        run = side(run, run.target, True)
        embeds = self._looked_up(tape, ids, run)
        counted = fresh(tape, (run.length,), Format.INT64, "arange")
        position_ids = fresh(tape, (run.length,), Format.INT64, "add")
        del counted
        mask = self._own_mask(tape, run, embeds.format)
        cross_mask = padding_mask(tape, run, source, embeds.format)
        moved = fresh(tape, (1, run.length), Format.INT64, "positions + 2")
        positions = ops.embedding(moved, self.positions)
        del moved
        begun = [self._begun("decoder", embeds, positions, run)]
        given = Side(run, self.spec.heads, uncausal(run), source, encoded, mask, cross_mask)
        hidden = self.run_side(tape, given, begun)
        del embeds, positions, position_ids
        return self._ended(tape, "decoder", hidden)

    def _own_mask(self, tape: Tape, run: Run, fmt: Format) -> Tensor | None:
        """The decoder makes itself a mask of ones, which sdpa then leaves out."""
        shape = (run.batch, run.past + run.length)
        ones = fresh(tape, shape, Format.FP32, "attention mask of ones")
        flags = fresh(tape, shape, Format.BOOL, "to")
        mask = causal_mask(tape, run, fmt)
        del ones, flags
        return mask

    def _looked_up(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        """Embeddings times a number, 1 though it may be."""
        embeds = ops.scale(ops.embedding(ids, self.table))
        required(tape, run, embeds)
        return embeds

    def _begun(self, one: str, embeds: Tensor, positions: Tensor, run: Run) -> Tensor:
        hidden = ops.add(embeds, positions)
        hidden = self.embedding_norms[one](hidden)
        return ops.dropout(hidden, self.spec.residual_dropout if run.training else 0.0)

    def _ended(self, tape: Tape, one: str, hidden: Tensor) -> Tensor:
        tape.begin(tape.sections[-1].phase, f"{one}'s end")
        return self.last_norms[one](hidden) if one in self.last_norms else hidden
