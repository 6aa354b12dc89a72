"""Gemma 3n (text): an embedding for every layer, hidden states in several copies of which one goes through the layer
(AltUp), a low-rank way around the attention (LAuReL), sparse activations, and last layers that read the keys and values
of earlier ones.

Mirrors transformers 5.23 models/gemma3n/modeling_gemma3n.py (Gemma3nForCausalLM).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from memcalc.architectures.altup import AltUp, rescaled
from memcalc.architectures.attention import attention
from memcalc.architectures.cohere import wide
from memcalc.architectures.gemma import Gemma2, GemmaSpec
from memcalc.architectures.layers import Norm, activation
from memcalc.architectures.llama import Block, rotary_table, rotate
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import Replaying, checkpointed, graph_leaf, graph_node
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.ops.stacked import added_to_view, mean_first, picked, set_to_itself, stack
from memcalc.tensors.tape import Storage, Tape
from memcalc.tensors.tensor import Parameter, Tensor

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Gemma3nSpec(GemmaSpec):
    """A Gemma 3n: each layer's feed-forward width; how many of the last layers share the keys and values of earlier
    ones; which layers keep few of their activations; copies of the hidden states; ranks and widths of the rest."""

    ffns: tuple[int, ...] = ()
    sparse: tuple[bool, ...] = ()
    shared_layers: int = 15
    copies: int = 4
    clipped: bool = True
    scaled_correction: bool = True
    laurel_rank: int = 64
    layer_vocab: int = 262144
    layer_hidden: int = 256

    @property
    def first_shared(self) -> int:
        return self.layers - self.shared_layers

    def stores(self, layer: int) -> bool:
        """Whether later layers of the same kind read this one's keys and values: the last that has its own."""
        own = self.windows[: self.first_shared]
        later = own[layer + 1 :]
        return bool(self.shared_layers) and layer < len(own) and own[layer] not in later

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        heads = self.kv_heads if layer < self.first_shared else 0
        return (heads, self.head_dim), (heads, self.head_dim)

    def kind(self, layer: int) -> object:
        shared = layer >= self.first_shared
        return self.window(layer), shared, self.stores(layer), self.sparse[layer], self.ffns[layer]


@dataclass(slots=True)
class LayerBlock(Block):
    """A block with its AltUp."""

    altup: AltUp


@dataclass(slots=True)
class Passing:
    """What is made once in a pass and read by its layers: the layers' own embeddings (batch, length, layers,
    layer_hidden), a rotary table for each window, and the keys and values that layers leave to later ones. ``graph``: a
    checkpointed layer that is computed again leaves its keys and values anew, and they hold on to the graph that made
    them, with all that it kept, for as long as the others are there."""

    layer_inputs: Tensor
    tables: dict[int | None, list[Tensor]]
    stored: dict[int | None, KeysValues] = field(default_factory=dict)
    graph: list[Storage | None] = field(default_factory=list)

    def inputs(self, window: int | None) -> list[Tensor]:
        """What a layer is given and a checkpoint keeps; the keys and values are in a dictionary, which it holds."""
        return [self.layer_inputs, *self.tables[window]]


class Gemma3n(Gemma2):
    """``ffn`` is not read: layers may differ."""

    spec: Gemma3nSpec
    linear_names = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "correction_coefs",
        "prediction_coefs", "modality_router", "linear_left", "linear_right", "per_layer_input_gate",
        "per_layer_projection", "per_layer_model_projection",
    )  # fmt: skip
    peft_targets = ()

    def build(self) -> None:
        spec, maker = self.spec, self.maker
        self.blocks = [self.make_layer(one.layer, f"{one.label}.", one.repeat) for one in self.plan]
        self.norm = self.make_norm("norm", spec.hidden)
        every = spec.layers * spec.layer_hidden
        self.layer_table = maker.parameter("embed_tokens_per_layer.weight", spec.layer_vocab, every)
        self.layer_projection = maker.linear("model", "per_layer_model_projection", spec.hidden, every, False)
        self.layer_norm = self.make_norm("per_layer_projection_norm", spec.layer_hidden)
        self.spread, self.unspread = (
            [maker.linear(name, str(i), spec.hidden, spec.hidden, False) for i in range(spec.copies - 1)]
            for name in ("altup_projections", "altup_unembed_projections")
        )

    def make_layer(self, layer: int, path: str, repeat: int) -> LayerBlock:
        """The block of ``layer``, with its parameters in the order of named_parameters()."""
        spec, maker = self.spec, self.maker
        h, attn = spec.hidden, f"{path}self_attn"
        own = layer < spec.first_shared
        shapes = [one for one in self.attention_linears() if own or one[0] not in ("k_proj", "v_proj")]
        linears = {one[0]: maker.linear(attn, *one, repeat) for one in shapes}
        heads = ("q_norm", "k_norm") if own else ("q_norm",)
        norms = {name: self.make_norm(f"{attn}.{name}", spec.head_dim, repeat=repeat) for name in heads}
        wide = spec.ffns[layer]
        for name, inputs, outputs in (("gate_proj", h, wide), ("up_proj", h, wide), ("down_proj", wide, h)):
            linears[name] = maker.linear(f"{path}mlp", name, inputs, outputs, False, repeat)
        norms |= {name: self.make_norm(f"{path}{name}", h, repeat=repeat) for name in self.norm_names}
        altup = AltUp.make(maker, f"{path}altup", h, spec.copies, self.make_norm, repeat)
        for name, inputs, outputs in (("linear_left", h, spec.laurel_rank), ("linear_right", spec.laurel_rank, h)):
            linears[name] = maker.linear(f"{path}laurel", name, inputs, outputs, False, repeat)
        norms["post_laurel_norm"] = self.make_norm(f"{path}laurel.post_laurel_norm", h, repeat=repeat)
        narrow = spec.layer_hidden
        for name, inputs, outputs in (("per_layer_input_gate", h, narrow), ("per_layer_projection", narrow, h)):
            linears[name] = maker.linear(path.rstrip("."), name, inputs, outputs, False, repeat)
        name = "post_per_layer_input_norm"
        norms[name] = self.make_norm(f"{path}{name}", h, repeat=repeat)
        return LayerBlock(linears, norms, altup)

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        return lambda x: norm_3n(x, weight)

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.layer_table]

    @property
    def softcapped(self) -> bool:
        return False

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        """Scales, and a rotary table for each kind of layer."""
        scale, *table = super().buffers()
        kinds = len(dict.fromkeys(self.spec.windows))
        return [scale] * (4 + self.spec.layers) + table * kinds

    def hidden_states(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        padding = run.padding
        if run.padded and padding is None:
            padding = fresh(tape, (run.batch, run.past + run.length), Format.INT64, "padding mask")
        inputs_embeds = self.embed_tokens(ids)
        if run.checkpointing and not inputs_embeds.needs_grad:
            inputs_embeds.node = graph_leaf(tape)
            if inputs_embeds.node is not None:
                inputs_embeds.node.kept.append(inputs_embeds.storage)
        layer_inputs = self.layer_inputs(ids, inputs_embeds)
        positions = self.position_ids(tape, run)
        positions.storage.record.fixed = True
        masks = self.attention_masks(tape, run, inputs_embeds.format)
        hidden, *held = self.spread_out(inputs_embeds)
        kinds = dict.fromkeys(self.spec.windows)
        passing = Passing(layer_inputs, {one: rotary_table(tape, run, self.rotary_dim, hidden.format) for one in kinds})
        del layer_inputs
        phase = tape.sections[-1].phase
        for index, template in enumerate(self.plan):
            tape.begin(phase, template.label, template.repeat, template.group)
            mask = masks[self.spec.window(template.layer)]
            if run.checkpointing:
                hidden = self._kept(tape, index, hidden, run, passing, positions, mask)
            else:
                hidden = self.layer(index, hidden, run, passing, mask)
        tape.begin(phase, "head")
        del held
        hidden = self.norm(self.gathered(hidden))
        del inputs_embeds, padding, positions, masks, passing
        return hidden

    def _kept(
        self, tape: Tape, index: int, hidden: Tensor, run: Run, passing: Passing, positions: Tensor, mask: Tensor | None
    ) -> Tensor:
        given = passing.inputs(self.spec.window(self.plan[index].layer))
        inputs = [hidden, *given, positions] + ([mask] if mask is not None else [])
        return checkpointed(tape, lambda: self.layer(index, hidden, run, passing, mask), inputs)

    def layer_inputs(self, ids: Tensor, inputs_embeds: Tensor) -> Tensor:
        """What every layer is given of its own, from the tokens and from their embeddings: (batch, length, layers,
        layer_hidden)."""
        spec, tape = self.spec, ids.tape
        batch, length = ids.shape
        inside = fresh(tape, ids.shape, Format.BOOL, "logical_and")
        known = fresh(tape, ids.shape, Format.INT64, "where")
        del inside
        shape = (batch, length, spec.layers, spec.layer_hidden)
        embedded = ops.scale(ops.embedding(known, self.layer_table)).view(*shape)
        del known
        projected = self.layer_projection(inputs_embeds)
        projected = self.layer_norm(scaled_in_place(projected).view(*shape))
        return ops.scale(ops.add(projected, embedded))

    def spread_out(self, first: Tensor) -> tuple[Tensor, ...]:
        """The embeddings and ``copies`` - 1 projections of them, of the same size each, stacked; and the model's
        variables that live as long as the layers run."""
        target = ops.power(ops.mean_last(ops.power(first)))
        parts, held = [first], [target]
        for linear in self.spread:
            projected = linear(first)
            part, size = rescaled(ops.to(projected, first.format), target)
            parts.append(part)
        held += [projected, size]
        return stack(parts), *parts, *held

    def gathered(self, hidden: Tensor) -> Tensor:
        """The copies (n, batch, length, h), projected back, of the size of the first, and their mean."""
        shape = hidden.shape[1:]
        target = ops.power(ops.mean_last(ops.power(picked(hidden, shape))))
        parts = [picked(hidden, shape)]
        for linear in self.unspread:
            projected = linear(picked(hidden, shape))
            part, size = rescaled(ops.to(projected, hidden.format), target)
            parts.append(part)
        hidden = stack(parts)
        del size
        return mean_first(hidden)

    def layer(self, index: int, hidden: Tensor, run: Run, passing: Passing, mask: Tensor | None) -> Tensor:
        """One block on the copies of the hidden states (n, batch, length, h)."""
        one = self.blocks[index]
        assert isinstance(one, LayerBlock)
        shape = hidden.shape[1:]
        predictions = one.altup.predict(hidden)
        active = picked(predictions, shape)
        normed = one.norms["input_layernorm"](active)
        saving = hidden.tape.saving
        if isinstance(saving, Replaying) and self.spec.stores(self.plan[index].layer):
            passing.graph += saving.kept
        laurel = self.laurel(one, normed)
        attended, weights = self.attend_layer(index, one, normed, run, passing, mask)
        attended = one.norms["post_attention_layernorm"](attended)
        gated = ops.add(active, attended)
        both = ops.scale(ops.add(gated, laurel), "div")
        narrow = one.norms["pre_feedforward_layernorm"](both)
        fed = self.mlp_layer(index, one, narrow)
        fed_norm = one.norms["post_feedforward_layernorm"](fed)
        activated = ops.add(both, fed_norm)
        clipped = self.spec.clipped and run.training
        corrected = one.altup.correct(predictions, activated, clipped)
        first = ops.contiguous(picked(corrected, shape), True)
        if self.spec.scaled_correction:
            first = ops.to(ops.mul(ops.to(first, one.altup.scale.format), one.altup.scale), first.format)
        first = one.linears["per_layer_input_gate"](first)
        first = activation(self.spec.activation, first)
        first = ops.mul(first, picked(passing.layer_inputs, (*shape[:-1], self.spec.layer_hidden)))
        first = one.linears["per_layer_projection"](first)
        first = one.norms["post_per_layer_input_norm"](first)
        others = (self.spec.copies - 1, *shape)
        corrected = set_to_itself(added_to_view(corrected, first, others), others)
        del active, normed, laurel, attended, weights, gated, both, narrow, fed, fed_norm, activated, predictions, first
        return corrected

    def laurel(self, one: Block, x: Tensor) -> Tensor:
        """x and a low-rank layer of it, normed."""
        low = one.linears["linear_right"](one.linears["linear_left"](x))
        return ops.add(x, one.norms["post_laurel_norm"](low))

    def attend_layer(
        self, index: int, one: Block, hidden: Tensor, run: Run, passing: Passing, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Attention on hidden states (batch, length, h); also eager attention's weights."""
        spec, layer = self.spec, self.plan[index].layer
        window = spec.window(layer)
        cos, sin = passing.tables[window]
        b, s, d = run.batch, run.length, spec.head_dim
        query = one.norms["q_norm"](one.linears["q_proj"](hidden).view(b, s, spec.heads, d))
        query = rotate(query.view(b, spec.heads, s, d), cos, sin)
        saving = hidden.tape.saving
        before = len(saving.kept) if isinstance(saving, Replaying) else 0
        if layer >= spec.first_shared:
            key, value = passing.stored[window]
        else:
            key = one.norms["k_norm"](one.linears["k_proj"](hidden).view(b, s, spec.kv_heads, d))
            key = rotate(key.view(b, spec.kv_heads, s, d), cos, sin)
            value = norm_3n(one.linears["v_proj"](hidden).view(b, s, spec.kv_heads, d), None)
            value = value.view(b, spec.kv_heads, s, d)
            if run.cache is not None:
                key, value = run.cache.update(index, key, value, window, run.past)
        if spec.stores(layer) and isinstance(saving, Replaying):
            passing.graph += saving.kept[before:]
        elif spec.stores(layer):
            passing.stored[window] = key, value
        p = spec.attention_dropout if run.training else 0.0
        out, weights = attention(query, key, value, mask, run, p, Format.FP32)
        return one.linears["o_proj"](out), weights

    def mlp_layer(self, index: int, one: Block, x: Tensor) -> Tensor:
        """The feed-forward; sparse layers drop what is not far above the mean."""
        gate = one.linears["gate_proj"](x)
        if self.spec.sparse[self.plan[index].layer]:
            gate = _largest(gate)
        active = activation(self.spec.activation, gate)
        up = one.linears["up_proj"](x)
        return one.linears["down_proj"](ops.mul(active, up))


def _largest(x: Tensor) -> Tensor:
    """``relu(x - (mean + std * factor))``."""
    factor = fresh(x.tape, (1,), x.format, "standard deviations")
    mean, std = ops.mean_last(x), ops.std_last(x)
    cutoff = ops.add(mean, ops.mul(std, factor))
    return ops.relu(ops.sub(x, cutoff))


def scaled_in_place(x: Tensor) -> Tensor:
    """``x *= number``: nothing new; backward makes the gradient anew."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, fmt, "mul (gradient)")]

    return Tensor(x.storage, shape, fmt, graph_node(tape, (x,), backward))


def norm_3n(x: Tensor, weight: Parameter | None) -> Tensor:
    """Gemma3nRMSNorm: normalised by a power, and multiplied by its weight (if it has one) in fp32, cast back."""
    fmt = x.format
    x = ops.to(x, Format.FP32)
    mean = ops.add_scalar(ops.mean_last(ops.power(x)))
    out = ops.mul(x, ops.power(mean))
    del x, mean
    if weight is not None:
        out = ops.mul(out, wide(out, weight))
    return ops.to(out, fmt)
