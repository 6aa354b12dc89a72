"""The blocks of BART and its descendants: self-attention, in the decoder attention to what the encoder said, a
feed-forward; LayerNorms and biases; each side with heads and a width of its own.

Mirrors transformers 5.23 models/{bart,mbart,whisper}/modeling_*.py (…EncoderLayer, …DecoderLayer, …Attention).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from memcalc.architectures.attention import attention
from memcalc.architectures.encoder import make_norm
from memcalc.architectures.layers import Linear, Norm, activation
from memcalc.architectures.program import run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.seq2seq import Seq2Seq, Seq2SeqSpec
from memcalc.architectures.spec import Template
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import operator
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor

PROJECTIONS = ("k_proj", "v_proj", "q_proj", "out_proj")


@dataclass(frozen=True, slots=True)
class BartSpec(Seq2SeqSpec):
    """``heads`` and ``ffn`` are the decoder's, ``encoder_heads`` and ``encoder_ffn`` the encoder's; ``inner_dropout``
    follows the activation; ``norm_first``: LayerNorms stand before attention and feed-forward, and one at each side's
    end; ``key_bias``: whether keys have one as well."""

    encoder_heads: int = 0
    encoder_ffn: int = 0
    inner_dropout: float = 0.0
    norm_first: bool = True
    key_bias: bool = True


@dataclass(slots=True)
class Block:
    """The layers of one block by their names in the model code; ``cross``: the decoder's attention to the encoder."""

    own: dict[str, Linear]
    cross: dict[str, Linear] | None
    feed: dict[str, Linear]
    norms: dict[str, Norm]


@dataclass(slots=True)
class Side:
    """One side's run: over its own tokens, and (in the decoder) over the encoder's, ``encoded``; the masks of both."""

    run: Run
    heads: int
    cross: Run | None = None
    source: Size = 0
    encoded: Tensor | None = None
    mask: Tensor | None = None
    cross_mask: Tensor | None = None


class BartBlocks(Seq2Seq):
    """An encoder-decoder made of such blocks. ``by_head``: heads are laid out one after another before attention."""

    spec: BartSpec
    blocks: list[Block]
    by_head: ClassVar[bool] = False
    linear_names = (*PROJECTIONS, "fc1", "fc2")
    peft_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")

    def make_blocks(self, plan: list[Template], decoder: bool) -> list[Block]:
        """The blocks of one side."""
        return [self._made(one, decoder) for one in plan]

    def _made(self, one: Template, decoder: bool) -> Block:
        make, spec, n, path = self.maker, self.spec, one.repeat, one.label
        h, ffn = spec.hidden, spec.ffn if decoder else spec.encoder_ffn
        norms: dict[str, Norm] = {}
        own = self._projections(f"{path}.self_attn", n)
        norms["self_attn_layer_norm"] = make_norm(make, f"{path}.self_attn_layer_norm", h, n)
        cross = self._projections(f"{path}.encoder_attn", n) if decoder else None
        if decoder:
            norms["encoder_attn_layer_norm"] = make_norm(make, f"{path}.encoder_attn_layer_norm", h, n)
        feed = {"fc1": make.linear(path, "fc1", h, ffn, True, n), "fc2": make.linear(path, "fc2", ffn, h, True, n)}
        norms["final_layer_norm"] = make_norm(make, f"{path}.final_layer_norm", h, n)
        return Block(own, cross, feed, norms)

    def _projections(self, path: str, repeat: int) -> dict[str, Linear]:
        make, h = self.maker, self.spec.hidden
        return {
            name: make.linear(path, name, h, h, name != "k_proj" or self.spec.key_bias, repeat) for name in PROJECTIONS
        }

    def run_side(self, tape: Tape, side: Side, first: list[Tensor]) -> Tensor:
        """The blocks of one side on its first hidden states, which are taken out of ``first``: nobody else has them."""
        decoder = side.cross is not None
        plan = self.decoder_plan if decoder else self.encoder_plan
        offset = len(self.encoder_plan) if decoder else 0
        shared = (side.encoded, side.mask, side.cross_mask)
        return run_blocks(tape, plan, first.pop(), side.run, shared, lambda i, x: self._block(offset + i, x, side))

    def _block(self, index: int, hidden: Tensor, side: Side) -> Tensor:
        one, tape = self.blocks[index], hidden.tape
        tape.one_token = isinstance(side.run.length, int) and side.run.length == 1
        p = self.spec.residual_dropout if side.run.training else 0.0
        residual = hidden
        hidden = self._before(one, "self_attn_layer_norm", hidden)
        hidden, weights = self._attend(index, one.own, hidden, None, side)
        hidden = ops.dropout(hidden, p)
        hidden = self._after(one, "self_attn_layer_norm", ops.add(residual, hidden))
        if one.cross is not None:
            residual = hidden
            hidden = self._before(one, "encoder_attn_layer_norm", hidden)
            hidden, weights = self._attend(index, one.cross, hidden, side.encoded, side)
            hidden = ops.dropout(hidden, p)
            hidden = self._after(one, "encoder_attn_layer_norm", ops.add(residual, hidden))
        residual = hidden
        hidden = self._before(one, "final_layer_norm", hidden)
        hidden = activation(self.spec.activation, one.feed["fc1"](hidden))
        hidden = ops.dropout(hidden, self.spec.inner_dropout if side.run.training else 0.0)
        hidden = one.feed["fc2"](hidden)
        hidden = ops.dropout(hidden, p)
        hidden = self._after(one, "final_layer_norm", ops.add(residual, hidden))
        if one.cross is None and hidden.format is Format.FP16:
            hidden = self.limited(hidden)
        del residual, weights
        return hidden

    def _before(self, one: Block, norm: str, x: Tensor) -> Tensor:
        return one.norms[norm](x) if self.spec.norm_first else x

    def _after(self, one: Block, norm: str, x: Tensor) -> Tensor:
        return x if self.spec.norm_first else one.norms[norm](x)

    def _attend(
        self, index: int, one: dict[str, Linear], x: Tensor, encoded: Tensor | None, side: Side
    ) -> tuple[Tensor, Tensor | None]:
        """Attention of x to itself, or (in ``one.cross``) to the encoder's result, whose keys and values may be
        cached."""
        crossing = one is self.blocks[index].cross
        run = side.cross if crossing and side.cross is not None else side.run
        cache = run.cross if crossing else run.cache
        query = self._heads(self.queried(one["q_proj"](x)), run.length, side)
        if crossing and cache is not None and index in cache.keys:
            key, value = cache.keys[index], cache.values[index]
        else:
            states, length = (encoded, side.source) if crossing else (x, run.length)
            assert states is not None
            key = self._heads(one["k_proj"](states), length, side)
            value = self._heads(one["v_proj"](states), length, side)
            del states
            if cache is not None:
                key, value = cache.update(index, key, value, None, 0 if crossing else run.past)
        p = self.spec.attention_dropout if run.training else 0.0
        mask = side.cross_mask if crossing else side.mask
        out, weights = attention(
            query, key, value, mask, run, p, None, by_head=self.by_head, narrow=False, dense=self.by_head
        )
        out = one["out_proj"](out)
        del query, key, value
        return out, weights

    def limited(self, x: Tensor) -> Tensor:
        """What the encoder's blocks do in fp16 against overflow."""
        return clamped(x)

    def queried(self, x: Tensor) -> Tensor:
        """What becomes of queries before they are split into heads."""
        return x

    def _heads(self, x: Tensor, length: Size, side: Side) -> Tensor:
        d = self.spec.hidden // side.heads
        single = isinstance(length, int) and length == 1
        copies = self.by_head and side.heads > 1 and not single
        return ops.contiguous(x, copies, (side.run.batch, side.heads, length, d))


def uncausal(run: Run) -> Run:
    """The run of attention in which all tokens are seen."""
    return replace(run, attention=replace(run.attention, causal=False))


def clamped(x: Tensor) -> Tensor:
    """``torch.clamp`` between two numbers: keeps x, with which backward compares."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> list[Tensor | None]:
        above = fresh(tape, shape, Format.BOOL, "ge")
        below = fresh(tape, shape, Format.BOOL, "le")
        out = fresh(tape, shape, fmt, "clamp (gradient)")
        del above, below
        return [out]

    return operator(tape, "clamp", (x,), shape, fmt, backward, (x,))
