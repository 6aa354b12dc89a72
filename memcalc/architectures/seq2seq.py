"""What all encoder-decoder programs share: an encoder that is run once, a decoder that attends to what it said, and
their blocks in one row: the encoder's first, then the decoder's.

Local variables live as long as they do in the model code of transformers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from memcalc.architectures.layers import Linear, Maker
from memcalc.architectures.program import Inputs, Program, given
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec, templates
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import lasting_leaf
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class Seq2SeqSpec(ModelSpec):
    """An encoder-decoder. ``layers`` are the decoder's, which keep a cache; ``encoder_layers`` the encoder's;
    ``max_positions`` is the encoder's limit, ``max_targets`` the decoder's; ``sources``: how many tokens the encoder
    always gives (0: as many as it is given)."""

    encoder_layers: int = 0
    max_targets: int = 0
    sources: int = 0

    @property
    def cross_shape(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(heads, values a head) that a decoder layer keeps for each token of the encoder: keys, and values."""
        return (self.kv_heads, self.head_dim), (self.kv_heads, self.head_dim)


class Seq2Seq(Program):
    """Encoder, decoder and a head over the vocabulary. Families give ``build``, ``encode``, ``decode`` and
    ``project_out``. ``shifts_first``: the labels are moved on before the encoder runs, not after it."""

    shifts_first: ClassVar[bool] = False

    spec: Seq2SeqSpec
    head: Linear

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        assert isinstance(spec, Seq2SeqSpec)
        self.plan = templates([one < spec.encoder_layers for one in range(spec.encoder_layers + spec.layers)], unroll)
        self.encoder_plan = [one for one in self.plan if one.layer < spec.encoder_layers]
        self.decoder_plan = self.plan[len(self.encoder_plan) :]
        self.table = maker.parameter("embedding", spec.vocab, spec.hidden)
        self.build()

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        return ("embedding", "lm_head.") if spec.tied else ("lm_head.",)

    def embeddings(self) -> list[Parameter]:
        return [self.table]

    @property
    def output_weight(self) -> Parameter:
        return self.head.weight

    def inputs(self, tape: Tape, run: Run) -> Inputs:
        found = self.read(tape, run)
        if run.training:
            found["labels"] = given(tape, (run.batch, run.target), "labels")
        else:
            found["decoder_input_ids"] = given(tape, (run.batch, run.target), "decoder's input ids")
        return found

    def read(self, tape: Tape, run: Run) -> Inputs:
        """What the encoder is given."""
        shape = (run.batch, run.length)
        found = {"input_ids": given(tape, shape, "input ids")}
        if run.padded:
            found["attention_mask"] = given(tape, shape, "padding mask")
        return found

    def source(self, run: Run) -> Size:
        """How many tokens the encoder gives."""
        return self.spec.sources or run.length

    # What a family fills in.

    def build(self) -> None:
        """Make the parameters behind the table of tokens."""
        raise NotImplementedError

    def encode(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """The encoder's last hidden states (batch, source, hidden)."""
        raise NotImplementedError

    def decode(self, tape: Tape, ids: Tensor, encoded: Tensor | None, run: Run) -> Tensor:
        """The decoder's last hidden states (batch, ``run.target``, hidden), after ``run.past`` cached tokens;
        ``encoded`` is not needed once the cross-attention's keys and values are cached."""
        raise NotImplementedError

    def prepared(self, hidden: Tensor) -> Tensor:
        """What the head reads of the decoder's last hidden states; the model code holds on to both."""
        return hidden

    def project_out(self, hidden: Tensor) -> Tensor:
        """Logits from what the head reads."""
        return self.head(hidden)

    # The same for all.

    def outputs(self, tape: Tape, inputs: Inputs, run: Run) -> list[Tensor]:
        encoded = self.encode(tape, inputs, run)
        hidden = self.decode(tape, inputs["decoder_input_ids"], encoded, run)
        read = self.prepared(hidden)
        logits = self.project_out(read)
        del hidden, read
        return [logits, encoded]

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """Forward pass with the labels moved on by one as the decoder's input, and cross entropy of the logits as they
        are; they and the hidden states live until it is taken."""
        ids = moved_on(tape, run) if self.shifts_first else None
        encoded = self.encode(tape, inputs, run)
        ids = ids or moved_on(tape, run)
        hidden = self.decode(tape, ids, encoded, run)
        read = self.prepared(hidden)
        logits = self.project_out(read)
        loss = ops.cross_entropy(logits, inputs["labels"])
        del encoded, ids, hidden, read, logits
        return loss


def moved_on(tape: Tape, run: Run) -> Tensor:
    """The labels moved on by one position, the start token first [_shift_right; shift_tokens_right]."""
    shape = (run.batch, run.target)
    ids = fresh(tape, shape, Format.INT64, "decoder's input ids")
    copy = fresh(tape, shape, Format.INT64, "clone")
    del copy
    flags = fresh(tape, shape, Format.BOOL, "eq")
    del flags
    return ids


def causal_mask(tape: Tape, run: Run, fmt: Format) -> Tensor | None:
    """The mask over the decoder's own tokens (batch, 1, length, past + length): none is made, but for eager attention
    [transformers 5.23 masking_utils.py, create_causal_mask]."""
    if not run.eager:
        return None
    shape = (run.batch, 1, run.length, run.past + run.length)
    flags = fresh(tape, (1, *shape[1:]), Format.BOOL, "causal mask")
    mask = fresh(tape, shape, fmt, "additive mask")
    del flags
    return mask


def required(tape: Tape, run: Run, embeds: Tensor) -> None:
    """As ``program.required``; but here backward goes on after it has reached the decoder's embedding."""
    if run.checkpointing and not embeds.needs_grad:
        lasting_leaf(tape, embeds)


def side(run: Run, length: Size, causal: bool) -> Run:
    """The run as the blocks of one side see it: ``length`` tokens, which see those before them or all."""
    return replace(run, length=length, attention=replace(run.attention, causal=causal))
