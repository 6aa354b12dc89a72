"""What all encoder programs share: every token sees all others, once; a head reads all tokens, or the first.

Local variables live as long as they do in the model code of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from memcalc.architectures.layers import Linear, Maker, Norm
from memcalc.architectures.program import Inputs, Program, given, run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec, places, templates
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor

Head = Literal["masked-lm", "classification", "none"]
Prefixes = Mapping[str, tuple[str, ...]]
"""How the names of a head's parameters begin, by the head."""
LinearLayer = tuple[str, int, int] | tuple[str, int, int, bool]
"""A linear layer's path in its block, its inputs and outputs, and whether it has a bias (as most have)."""


@dataclass(frozen=True, slots=True)
class EncoderSpec(ModelSpec):
    """An encoder of text. ``head``: a word for each token, a label for the sequence, or none (the bare model);
    ``rows``: of the table of positions, more than ``max_positions`` where the first are not used; ``types``: kinds of
    segments (0: no table of them)."""

    head: Head = "masked-lm"
    labels: int = 2
    rows: int = 0
    types: int = 0
    head_dropout: float = 0.0

    @property
    def generates(self) -> bool:
        return False

    @property
    def scores_words(self) -> bool:
        return self.head == "masked-lm"


@dataclass(slots=True)
class Block:
    """The layers of one block, by their paths in the model code."""

    linears: dict[str, Linear]
    norms: dict[str, Norm]


class Encoder(Program):
    """Embeddings, blocks and a head. Families give ``build``, ``embed``, ``block``, ``build_head`` and ``headed``."""

    head_prefixes: ClassVar[Prefixes] = {}

    spec: EncoderSpec

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        self.plan = templates([None] * spec.layers, unroll)
        maker.layers = places(self.plan)
        self.table = maker.parameter("embedding", spec.vocab, spec.hidden)
        self.build()
        self.build_head()

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        assert isinstance(spec, EncoderSpec)
        tied = ("embedding",) if spec.head == "masked-lm" else ()
        return (*tied, *cls.head_prefixes[spec.head])

    @property
    def output_weight(self) -> Parameter | None:
        return self.table if self.spec.head == "masked-lm" else None

    def labels(self, tape: Tape, run: Run) -> Tensor:
        if self.spec.head == "classification":
            return given(tape, (run.batch,), "labels")
        return super().labels(tape, run)

    # What a family fills in.

    def build(self) -> None:
        """Make the parameters between the table of tokens and the head."""
        raise NotImplementedError

    def build_head(self) -> None:
        """Make those of the head."""
        raise NotImplementedError

    def embed(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        """From tokens to the first hidden states (batch, length, hidden)."""
        raise NotImplementedError

    def block(self, index: int, hidden: Tensor, run: Run, mask: Tensor | None) -> Tensor:
        """One block on hidden states."""
        raise NotImplementedError

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """What the base model makes of the first token beside its hidden states."""
        return None

    def headed(self, hidden: Tensor, pooled: Tensor | None, run: Run) -> Tensor:
        """Logits: (batch, length, vocab) or (batch, labels)."""
        raise NotImplementedError

    # The same for all.

    def encoded(self, tape: Tape, inputs: Inputs, run: Run) -> tuple[Tensor, Tensor | None]:
        """The base model: the last hidden states, and what is pooled of them."""
        run = replace(run, attention=replace(run.attention, causal=False))
        embedded = self.embed(tape, inputs["input_ids"], run)
        mask = padding_mask(tape, run, run.length, embedded.format)
        hidden = run_blocks(tape, self.plan, embedded, run, (mask,), lambda i, x: self.block(i, x, run, mask))
        tape.begin(tape.sections[-1].phase, "head")
        pooled = self.pooled(hidden)
        del embedded
        return hidden, pooled

    def outputs(self, tape: Tape, inputs: Inputs, run: Run) -> list[Tensor]:
        hidden, pooled = self.encoded(tape, inputs, run)
        if self.spec.head == "none":
            return [one for one in (hidden, pooled) if one is not None]
        logits = self.headed(hidden, pooled, run)
        del hidden, pooled
        return [logits]

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """Forward pass and cross entropy of the logits as they are; they and the hidden states live until it is
        taken. (Regression, which one label means to transformers, differs by a few small tensors.)"""
        hidden, pooled = self.encoded(tape, inputs, run)
        logits = self.headed(hidden, pooled, run)
        loss = ops.cross_entropy(logits, inputs["labels"])
        del hidden, pooled, logits
        return loss


def padding_mask(tape: Tape, run: Run, keys: Size, fmt: Format) -> Tensor | None:
    """transformers' mask where all tokens see all others, (batch, 1, length, keys): boolean for sdpa, in the model's
    format for eager; none without padding [masking_utils.py, create_bidirectional_mask]."""
    if not run.padded:
        return None
    flags = fresh(tape, (run.batch, keys), Format.BOOL, "padding mask (boolean)")
    shape = (run.batch, 1, run.length, keys)
    mask = fresh(tape, shape, Format.BOOL, "padding mask")
    del flags
    return fresh(tape, shape, fmt, "additive mask") if run.eager else mask


def make_block(make: Maker, path: str, repeat: int, layers: Sequence[LinearLayer | str], width: int) -> Block:
    """A block's ``layers`` in the order of the model code; a path alone is a norm over ``width`` values."""
    block = Block({}, {})
    for one in layers:
        if isinstance(one, str):
            block.norms[one] = make_norm(make, f"{path}.{one}", width, repeat)
        else:
            parent, _, name = f"{path}.{one[0]}".rpartition(".")
            block.linears[one[0]] = make.linear(parent, name, one[1], one[2], len(one) == 3 or one[3], repeat)
    return block


def make_norm(make: Maker, path: str, width: int, repeat: int = 1) -> Norm:
    """A LayerNorm with weight and bias."""
    weight = make.parameter(f"{path}.weight", width, repeat=repeat)
    bias = make.parameter(f"{path}.bias", width, repeat=repeat)
    return lambda x: ops.layer_norm(x, weight, bias)
