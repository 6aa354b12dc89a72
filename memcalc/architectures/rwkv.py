"""RWKV-4: a recurrent mean over keys and values in place of attention, and a feed-forward, each mixing a token with the
one before.

Mirrors transformers 5.23 models/rwkv/modeling_rwkv.py without the kernel of the hub: the recurrence is a loop over the
tokens in Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Linear, LinearShape, Norm
from memcalc.architectures.program import recomputed, required
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec, State
from memcalc.architectures.wkv import recurrence
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import slices
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.pairs import one_minus
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class RwkvSpec(DecoderSpec):
    """Channels of the recurrence, and after how many layers generation halves the hidden states (0: never)."""

    inner: int = 4096
    rescale_every: int = 6

    def kind(self, layer: int) -> object:
        return layer == 0, self.rescaled(layer)

    def rescaled(self, layer: int) -> bool:
        """Whether hidden states are halved after it when text is generated."""
        return self.rescale_every > 0 and (layer + 1) % self.rescale_every == 0

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (0, 0), (0, 0)

    def states(self, layer: int) -> tuple[State, ...]:
        """The last token's inputs of feed-forward and recurrence in the model's format; three numbers a channel."""
        recurrent = (State(name, (self.hidden,), Format.FP32) for name in ("numerator", "denominator", "largest"))
        return (State("feed-forward", (self.hidden,)), State("attention", (self.hidden,)), *recurrent)

    @property
    def by_batch(self) -> bool:
        return True  # Rwkv._shifted: its code takes the sequences of a batch for tokens, one after the other

    @property
    def by_length(self) -> bool:
        """A loop over the tokens."""
        return True


@dataclass(slots=True)
class Block:
    """The layers and parameters of one block, by their names in the model code; ``first``: the norm before all."""

    first: Norm | None
    norms: dict[str, Norm]
    attention: dict[str, Linear]
    ffn: dict[str, Linear]
    decay: Parameter
    bonus: Parameter
    mix: dict[str, Parameter]
    ffn_mix: dict[str, Parameter]


class Rwkv(Decoder):
    """Norm, recurrence, norm, feed-forward."""

    spec: RwkvSpec
    linear_names: ClassVar[tuple[str, ...]] = ("key", "value", "receptance", "output")
    peft_targets: ClassVar[tuple[str, ...]] = linear_names

    def build(self) -> None:
        self.blocks = [self._block(one.layer, f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self._norm("ln_out", 1)

    def _norm(self, path: str, repeat: int) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", self.spec.hidden, repeat=repeat)
        bias = self.maker.parameter(f"{path}.bias", self.spec.hidden, repeat=repeat)
        return lambda x: ops.layer_norm(x, weight, bias)

    def _block(self, layer: int, path: str, repeat: int) -> Block:
        """A block's parameters, in the order of named_parameters()."""
        spec, maker = self.spec, self.maker
        h, inner = spec.hidden, spec.inner
        first = self._norm(f"{path}pre_ln", repeat) if layer == 0 else None
        norms = {name: self._norm(f"{path}{name}", repeat) for name in ("ln1", "ln2")}
        attn, ffn = f"{path}attention", f"{path}feed_forward"
        decay = maker.parameter(f"{attn}.time_decay", inner, repeat=repeat)
        bonus = maker.parameter(f"{attn}.time_first", inner, repeat=repeat)
        mix = {
            name: maker.parameter(f"{attn}.time_mix_{name}", 1, 1, h, repeat=repeat)
            for name in ("key", "value", "receptance")
        }
        shapes: list[LinearShape] = [(name, h, inner, False) for name in mix] + [("output", inner, h, False)]
        attention = {one[0]: maker.linear(attn, *one, repeat) for one in shapes}
        ffn_mix = {
            name: maker.parameter(f"{ffn}.time_mix_{name}", 1, 1, h, repeat=repeat) for name in ("key", "receptance")
        }
        shapes = [("key", h, spec.ffn, False), ("receptance", h, h, False), ("value", spec.ffn, h, False)]
        linears = {one[0]: maker.linear(ffn, *one, repeat) for one in shapes}
        return Block(first, norms, attention, linears, decay, bonus, mix, ffn_mix)

    def fill_cache(self, tape: Tape, run: Run, first: bool) -> None:
        """Five tensors hold the states of all layers."""
        assert run.cache is not None
        for one in self.spec.states(0):
            whole = State(one.name, (*one.shape, self.spec.layers), one.format)
            run.cache.state(tape, 0, whole, run.batch, run.compute)

    def hidden_states(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        padding = run.padding
        if run.padded and padding is None:
            padding = fresh(tape, (run.batch, run.past + run.length), Format.INT64, "padding mask")
        inputs_embeds = self.embed_tokens(ids)
        required(tape, run, inputs_embeds)
        if run.cache is not None:
            self.fill_cache(tape, run, True)
        phase, hidden = tape.sections[-1].phase, inputs_embeds

        def block(index: int, x: Tensor) -> Tensor:
            return self.layer(index, x, run)

        for index, template in enumerate(self.plan):
            tape.begin(phase, template.label, template.repeat, template.group)
            hidden = recomputed(tape, index, hidden, (), block) if run.checkpointing else block(index, hidden)
            if self.spec.rescaled(template.layer) and not run.training:
                hidden = ops.scale(hidden, "div")
        tape.begin(phase, "head")
        hidden = self.norm(hidden)
        del inputs_embeds, padding
        return hidden

    def layer(self, index: int, hidden: Tensor, run: Run) -> Tensor:
        """One block on hidden states (batch, length, hidden)."""
        one = self.blocks[index]
        if one.first is not None:
            hidden = one.first(hidden)
        attention = self.attend(one, one.norms["ln1"](hidden), run)
        decoded = attention.shape if attention.shape != hidden.shape else None  # see _shifted
        hidden = ops.add(hidden, attention) if decoded is None else fresh(hidden.tape, decoded, hidden.format, "add")
        feed_forward = self.feed(one, one.norms["ln2"](hidden), run)
        hidden = ops.add(hidden, feed_forward)
        del attention, feed_forward
        return hidden

    def attend(self, one: Block, hidden: Tensor, run: Run) -> Tensor:
        """The recurrence on normed hidden states (batch, length, hidden)."""
        shifted = self._shifted(hidden, run)
        key, value, receptance = (mixed(hidden, shifted, one.mix[name]) for name in ("key", "value", "receptance"))
        key = one.attention["key"](key)
        value = one.attention["value"](value)
        receptance = ops.sigmoid(one.attention["receptance"](receptance))
        del shifted
        states = None
        if run.cache is not None:  # views of what the cache holds
            held = [run.cache.states[0, state.name] for state in self.spec.states(0)[2:]]
            states = [x.view(run.batch, self.spec.hidden) for x in held]
            del held
        out, last = recurrence(key, value, one.decay, one.bonus, states, key.shape[1])
        del states
        result = one.attention["output"](ops.mul(receptance, out))
        del last
        return result

    def feed(self, one: Block, hidden: Tensor, run: Run) -> Tensor:
        """The feed-forward on normed hidden states (batch, length, hidden)."""
        shifted = self._shifted(hidden, run)
        key, receptance = (mixed(hidden, shifted, one.ffn_mix[name]) for name in ("key", "receptance"))
        key = ops.power(ops.relu(one.ffn["key"](key)))
        value = one.ffn["value"](key)
        receptance = ops.sigmoid(one.ffn["receptance"](receptance))
        result = ops.mul(receptance, value)
        del shifted
        return result

    def _shifted(self, hidden: Tensor, run: Run) -> Tensor:
        """Every token's predecessor: the whole sequence moved by one, or for a single token the cached one. As that has
        no dimension for tokens, products with it take the sequences of a batch for tokens: hidden states of several
        sequences become (batch, batch, hidden)."""
        if run.cache is not None and type(hidden.shape[1]) is int and hidden.shape[1] == 1:
            return run.cache.states[0, "attention"].view(1, run.batch, self.spec.hidden)
        return slices.padded(hidden, hidden.shape)


def mixed(hidden: Tensor, shifted: Tensor, mix: Parameter) -> Tensor:
    """``hidden * mix + shifted * (1 - mix)``."""
    if shifted.shape != hidden.shape:  # what Rwkv._shifted says of a batch
        held = [fresh(hidden.tape, one.shape, hidden.format, "mul") for one in (hidden, shifted)]
        out = fresh(hidden.tape, (hidden.shape[0], *shifted.shape[1:]), hidden.format, "add")
        del held
        return out
    return ops.add(ops.mul(hidden, mix), ops.mul(shifted, one_minus(mix, hidden)))
