"""T5 and Flan-T5: relative positions as a bias that every layer adds to its scores, RMS norms, no biases, dropout.

Mirrors transformers 5.23 models/t5/modeling_t5.py and integrations/sdpa_attention.py (create_position_bias_mask).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memcalc.architectures.attention import recomputed
from memcalc.architectures.layers import Linear, activation
from memcalc.architectures.program import Inputs
from memcalc.architectures.run import Run
from memcalc.architectures.seq2seq import Seq2Seq, Seq2SeqSpec, required, side
from memcalc.architectures.spec import Template
from memcalc.architectures.t5_bias import T5Run, bias_of_positions, biased_mask, made_masks, no_bias
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import checkpointed, operator
from memcalc.tensors.ops.attention import attend_eager
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class T5Spec(Seq2SeqSpec):
    """``buckets``: rows of the table of relative positions; ``gated``: whether the feed-forward has a gate; ``scaled``:
    whether the decoder's result is scaled before the head (where that is tied to the embedding)."""

    buckets: int = 32
    gated: bool = False
    scaled: bool = True

    @property
    def by_length(self) -> bool:
        return True  # whether a row of the bias is padded depends on the length's own value

    @property
    def always_masked(self) -> bool:
        return True


@dataclass(slots=True)
class Attention:
    """Queries, keys, values and output, and the norm before them."""

    linears: dict[str, Linear]
    norm: Parameter
    bias: Parameter | None = None


@dataclass(slots=True)
class Block:
    """The layers of one block; ``cross`` in the decoder."""

    own: Attention
    cross: Attention | None
    feed: dict[str, Linear]
    norm: Parameter


@dataclass(slots=True)
class Biases:
    """The position biases that the first block makes for all: of the tokens themselves, and to the encoder's."""

    own: Tensor | None = None
    cross: Tensor | None = None


class T5(Seq2Seq):
    """Encoder and decoder share their table of tokens, and the head has it too unless it was trained apart."""

    spec: T5Spec
    linear_names = ("q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo")
    peft_targets = ("q", "v")

    def build(self) -> None:
        make, h = self.maker, self.spec.hidden
        self.blocks = [self._block(one, one is self.encoder_plan[0], False) for one in self.encoder_plan]
        self.encoder_norm = make.parameter("encoder.final_layer_norm.weight", h)
        self.blocks += [self._block(one, one is self.decoder_plan[0], True) for one in self.decoder_plan]
        self.decoder_norm = make.parameter("decoder.final_layer_norm.weight", h)
        self.head = Linear(self.table if self.spec.tied else make.head("lm_head.weight", (self.spec.vocab, h)))

    def _block(self, one: Template, first: bool, decoder: bool) -> Block:
        make, spec, n = self.maker, self.spec, one.repeat
        own = self._attention_layers(one.label, "SelfAttention", n, first)
        cross = self._attention_layers(one.label, "EncDecAttention", n, False) if decoder else None
        names = ("wi_0", "wi_1") if spec.gated else ("wi",)
        path = f"{one.label}.DenseReluDense"
        feed = {name: make.linear(path, name, spec.hidden, spec.ffn, False, n) for name in names}
        feed["wo"] = make.linear(path, "wo", spec.ffn, spec.hidden, False, n)
        return Block(own, cross, feed, make.parameter(f"{one.label}.ff.layer_norm.weight", spec.hidden, repeat=n))

    def _attention_layers(self, label: str, name: str, repeat: int, biased: bool) -> Attention:
        make, spec = self.maker, self.spec
        h, inner = spec.hidden, spec.heads * spec.head_dim
        linears = {one: make.linear(f"{label}.{name}", one, h, inner, False, repeat) for one in ("q", "k", "v")}
        linears["o"] = make.linear(f"{label}.{name}", "o", inner, h, False, repeat)
        bias = make.parameter(f"{label}.{name}.relative_attention_bias", spec.buckets, spec.heads) if biased else None
        return Attention(linears, make.parameter(f"{label}.{name}.layer_norm.weight", h, repeat=repeat), bias)

    def embeddings(self) -> list[Parameter]:
        biases = [one.own.bias for one in self.blocks]
        return [self.table, *(one for one in biases if one is not None)]

    def prepared(self, hidden: Tensor) -> Tensor:
        return ops.scale(hidden) if self.spec.scaled else hidden

    def encode(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        embeds = ops.embedding(inputs["input_ids"], self.table)
        required(tape, run, embeds)
        given = T5Run(side(run, run.length, False), "encoder")
        given.mask, _ = made_masks(tape, given.run, embeds.format, run.length, False)
        return self._stack(tape, embeds, None, given, self.encoder_norm)

    def decode(self, tape: Tape, ids: Tensor, encoded: Tensor | None, run: Run) -> Tensor:
        tape.begin(tape.sections[-1].phase, "decoder's embedding")
        embeds = ops.embedding(ids, self.table)
        required(tape, run, embeds)
        given = T5Run(side(run, run.target, True), "decoder", self.source(run))
        given.mask, given.cross_mask = made_masks(tape, given.run, embeds.format, given.source, True)
        return self._stack(tape, embeds, encoded, given, self.decoder_norm)

    def _stack(self, tape: Tape, embeds: Tensor, encoded: Tensor | None, given: T5Run, norm: Parameter) -> Tensor:
        p = self.spec.residual_dropout if given.run.training else 0.0
        plan = self.encoder_plan if given.side == "encoder" else self.decoder_plan
        offset = 0 if given.side == "encoder" else len(self.encoder_plan)
        phase, biases = tape.sections[-1].phase, Biases()
        hidden = ops.dropout(embeds, p)
        for index, template in enumerate(plan, start=offset):
            tape.begin(phase, template.label, template.repeat, template.group)
            made: list[Biases] = []
            run_block = self._runner(tape, index, hidden, encoded, biases, given, made)
            if given.run.checkpointing:
                kept = [hidden, biases.own, biases.cross, encoded, given.mask, given.cross_mask]
                hidden = checkpointed(tape, run_block, [one for one in kept if one is not None])
            else:
                hidden = run_block()
            first, biases = biases, made.pop()
            if given.run.checkpointing and first.own is None:
                made.append(biases)  # what the first block made lives until backward comes to it again
            del run_block, first
        tape.begin(phase, f"{given.side}'s end")
        hidden = t5_norm(hidden, norm)
        hidden = ops.dropout(hidden, p)
        del embeds, biases
        return hidden

    def _runner(
        self,
        tape: Tape,
        index: int,
        hidden: Tensor,
        encoded: Tensor | None,
        biases: Biases,
        given: T5Run,
        made: list[Biases],
    ) -> Callable[[], Tensor]:
        """The block as a call; the biases that it made or passed on are left in ``made``, the first time."""

        def run_block() -> Tensor:
            made.clear()
            tape.one_token = isinstance(given.run.length, int) and given.run.length == 1
            out, passed = self._run_block(index, self.blocks[index], hidden, encoded, biases, given)
            if tape.saving is None or not tape.saving.replays:
                made.append(passed)
            return out

        return run_block

    def _run_block(
        self, index: int, one: Block, hidden: Tensor, encoded: Tensor | None, biases: Biases, given: T5Run
    ) -> tuple[Tensor, Biases]:
        p = self.spec.residual_dropout if given.run.training else 0.0
        hidden, own, weights = self._self_attention(index, one.own, hidden, biases.own, given, p)
        hidden = clamped(hidden)
        cross = None
        if one.cross is not None:
            hidden, cross, weights = self._cross_attention(index, one.cross, hidden, encoded, biases.cross, given, p)
            hidden = clamped(hidden)
        hidden = self._feed_forward(one, hidden, p)
        hidden = clamped(hidden)
        del weights
        return hidden, Biases(own, cross)

    def _self_attention(
        self, index: int, one: Attention, hidden: Tensor, bias: Tensor | None, given: T5Run, p: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        normed = t5_norm(hidden, one.norm)
        out, bias, weights = self._attend_own(index, one, normed, bias, given, p)
        return ops.add(hidden, ops.dropout(out, p)), bias, weights

    def _cross_attention(
        self,
        index: int,
        one: Attention,
        hidden: Tensor,
        encoded: Tensor | None,
        bias: Tensor | None,
        given: T5Run,
        p: float,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        normed = t5_norm(hidden, one.norm)
        out, bias, weights = self._attend_cross(index, one, normed, encoded, bias, given, p)
        return ops.add(hidden, ops.dropout(out, p)), bias, weights

    def _heads(self, linear: Linear, x: Tensor, length: Size, run: Run) -> Tensor:
        return linear(x).view(run.batch, self.spec.heads, length, self.spec.head_dim)

    def _attend_own(
        self, index: int, one: Attention, x: Tensor, bias: Tensor | None, given: T5Run, p: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        run = given.run
        query, key, value = (self._heads(one.linears[name], x, run.length, run) for name in ("q", "k", "v"))
        keys = run.length
        if given.side == "decoder" and run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
            keys = run.past + run.length
        if bias is None:
            assert one.bias is not None
            bias = bias_of_positions(x.tape, one.bias, run.length, keys, given.side == "encoder")
        causal = given.side == "decoder" and not x.tape.one_token
        out, weights = attend(query, key, value, bias, given.mask, run, p, causal, True)
        out = one.linears["o"](out)
        del query, key, value
        return out, bias, weights

    def _attend_cross(
        self, index: int, one: Attention, x: Tensor, encoded: Tensor | None, bias: Tensor | None, given: T5Run, p: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        run = given.run
        query = self._heads(one.linears["q"], x, run.length, run)
        if run.cross is not None and index in run.cross.keys:
            key, value = run.cross.keys[index], run.cross.values[index]
        else:
            assert encoded is not None
            key, value = (self._heads(one.linears[name], encoded, given.source, run) for name in ("k", "v"))
            if run.cross is not None:
                key, value = run.cross.update(index, key, value, None, 0)
        if bias is None:
            bias = no_bias(x.tape, (1, self.spec.heads, run.length, given.source), query.format, run)
        out, weights = attend(query, key, value, bias, given.cross_mask, run, p, False, False)
        out = one.linears["o"](out)
        del query, key, value
        return out, bias, weights

    def _feed_forward(self, one: Block, hidden: Tensor, p: float) -> Tensor:
        x = t5_norm(hidden, one.norm)
        x = self._dense(one.feed, x, p)
        return ops.add(hidden, ops.dropout(x, p))

    def _dense(self, feed: dict[str, Linear], x: Tensor, p: float) -> Tensor:
        wo, others = feed["wo"], []
        if self.spec.gated:
            gate = activation(self.spec.activation, feed["wi_0"](x))
            straight = feed["wi_1"](x)
            x = ops.mul(gate, straight)
            others = [gate, straight]
            del gate, straight
        else:
            x = feed["wi"](x)
            x = activation(self.spec.activation, x)
        x = ops.dropout(x, p)
        x = ops.to(x, wo.weight.format)
        x = wo(x)
        others.clear()
        return x


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    run: Run,
    p: float,
    causal: bool,
    permuted: bool,
) -> tuple[Tensor, Tensor | None]:
    """Attention with a position bias (1, heads, queries, keys), ``permuted`` if its heads lie innermost; ``causal`` has
    a mask made where there is none. Returns the result (batch, queries, heads·d) and, from eager attention, the
    weights."""
    batch, heads, length, d = query.shape
    inputs = [one for one in (query, key, value, bias, mask) if one is not None]
    cached = run.cache is not None

    def core() -> tuple[Tensor, list[Tensor | None]]:
        if run.eager:
            out, weights = attend_eager(query, key, value, mask, p, None, cached=cached, narrow=False, bias=bias)
            return out, [weights]
        whole = biased_mask(query, bias, mask, causal, permuted)
        out = ops.attend(query, key, value, whole, False, run.attention, p, cached)
        kernel = ops.chosen_kernel(out.format, d, False, True, run.attention)
        copies = ops.output_copies(kernel, d, query.tape.reorders(heads))
        return ops.contiguous(out, copies, (batch, length, heads * d)), [None]

    out, held = recomputed(run, inputs, core)
    return out, held.pop()


def t5_norm(x: Tensor, weight: Parameter) -> Tensor:
    """T5LayerNorm: the variance in fp32, the product in whatever comes of both formats, 16 bits if the weight has."""
    variance = ops.mean_last(ops.power(ops.to(x, Format.FP32)))
    x = ops.mul(x, ops.rsqrt(ops.add_scalar(variance)))
    if weight.format.is_half:
        x = ops.to(x, weight.format)
    return ops.mul(x, weight)


def clamped(x: Tensor) -> Tensor:
    """In fp16 alone, infinities are cut off after every layer: ``torch.clamp(x, min, max)`` with numbers on the device,
    which keeps x and them; backward compares with both."""
    if x.format is not Format.FP16:
        return x
    tape, shape, fmt = x.tape, x.shape, x.format
    size = fresh(tape, shape, fmt, "abs")
    flags = fresh(tape, shape, Format.BOOL, "eq")
    del size, flags
    limits = [fresh(tape, (1,), fmt, "scalar") for _ in range(2)]

    def backward(grad: Tensor) -> list[Tensor | None]:
        above = fresh(tape, shape, Format.BOOL, "ge")
        below = fresh(tape, shape, Format.BOOL, "le")
        both = fresh(tape, shape, Format.BOOL, "and")
        out = fresh(tape, shape, fmt, "clamp (gradient)")
        del above, below, both
        return [out]

    return operator(tape, "clamp", (x,), shape, fmt, backward, (x, *limits))
