"""What all decoder programs share: embedding, the run of blocks, head and loss, as transformers computes them.

Local variables live as long as they do in the model code, which is what decides the peak between two operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from memcalc.architectures.layers import Linear, Maker
from memcalc.architectures.program import Inputs, Program, required
from memcalc.architectures.run import Run, at_most
from memcalc.architectures.spec import ModelSpec, places, templates
from memcalc.errors import ScenarioError
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import checkpointed
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.sequence import gathered, scattered
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Parameter, Tensor


class Decoder(Program):
    """A decoder-only model with a language-modelling head.

    Families subclass it and give ``build``, ``embed``, ``block`` and ``final``.
    ``rebinds_embeddings``: the model's variable for the token embeddings is given to what ``embed`` makes of them.
    ``shares_before_masks``: what all blocks share is made before the masks are. ``passes_positions``: blocks are given
    the positions' numbers too.
    """

    rebinds_embeddings: ClassVar[bool] = False
    shares_before_masks: ClassVar[bool] = False
    passes_positions: ClassVar[bool] = True

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        self.plan = templates([spec.kind(i) for i in range(spec.layers)], unroll)
        maker.layers = places(self.plan)
        self.table = maker.parameter("embedding", spec.vocab, self.embedding_width)
        self.build()
        if not spec.tied:
            self.head: Linear = Linear(maker.head("lm_head.weight", (spec.vocab, self.embedding_width)))
        else:
            self.head = Linear(self.table)

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        return ("embedding", "lm_head.") if spec.tied else ("lm_head.",)

    # What a family fills in.

    def build(self) -> None:
        """Make the parameters between the embedding and the head."""
        raise NotImplementedError

    @property
    def embedding_width(self) -> int:
        """Values of a token's embedding, and of what the head reads."""
        return self.spec.hidden

    def embeddings(self) -> list[Parameter]:
        return [self.table]

    @property
    def output_weight(self) -> Parameter:
        return self.head.weight

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """The embedding module: token embeddings (batch, length, hidden)."""
        return ops.embedding(ids, self.table)

    def scaled(self, inputs_embeds: Tensor) -> Tensor:
        """What the model makes of the embedding module's result, in its place."""
        return inputs_embeds

    def position_ids(self, tape: Tape, run: Run) -> Tensor:
        """The positions of the new tokens."""
        return fresh(tape, (1, run.length), Format.INT64, "position ids")

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        """From token embeddings (batch, length, hidden) to the first hidden states of that shape, and the local
        variables that live on beside them."""
        raise NotImplementedError

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """One decoder block on hidden states (batch, length, hidden)."""
        raise NotImplementedError

    def final(self, hidden: Tensor) -> Tensor:
        """The norm after the last block."""
        raise NotImplementedError

    def project_out(self, hidden: Tensor) -> Tensor:
        """Logits from the last hidden states: the head and what a family does to its result."""
        return self.head(hidden)

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        """Tensors made once and used by every block (rotary cosines and sines)."""
        return []

    def shared_by(self, index: int, shared: Sequence[Tensor]) -> Sequence[Tensor]:
        """Those of them that block ``index`` is given."""
        return shared

    def fill_cache(self, tape: Tape, run: Run, first: bool) -> None:
        """What the cache holds before a decode step (``first``: the first one after the prompt)."""
        assert run.cache is not None
        for index, template in enumerate(self.plan):
            tape.begin("cache", template.label, template.repeat, template.group)
            shapes = self.spec.cache_shape(template.layer)
            keys, values = ((run.batch, heads, run.past, width) for heads, width in shapes)
            if keys[1]:
                run.cache.fill(tape, index, (keys, values), self.spec.window(template.layer), run.compute, first)
            for one in self.spec.states(template.layer):
                run.cache.state(tape, index, one, run.batch, run.compute)

    # The same for all.

    def hidden_states(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        """The base model: everything up to and including the final norm."""
        padding = run.padding
        if run.padded and padding is None:
            padding = fresh(tape, (run.batch, run.past + run.length), Format.INT64, "padding mask")
        inputs_embeds = scattered(self.embed_tokens(ids), run.split)
        required(tape, run, inputs_embeds)
        inputs_embeds = self.scaled(inputs_embeds)
        positions = self.position_ids(tape, run)
        positions.storage.record.fixed = True
        early = self.shared(tape, run, inputs_embeds.format) if self.shares_before_masks else None
        masks = self.attention_masks(tape, run, inputs_embeds.format)
        shared = self.shared(tape, run, inputs_embeds.format) if early is None else early
        hidden, *others = self.embed(inputs_embeds, positions, run)
        if not self.rebinds_embeddings:
            others.append(inputs_embeds)
        del inputs_embeds
        phase = tape.sections[-1].phase
        for index, template in enumerate(self.plan):
            mask = masks[self.spec.window(template.layer)]
            tape.begin(phase, template.label, template.repeat, template.group)
            if run.checkpointing:
                given = [*self.shared_by(index, shared), *([positions] if self.passes_positions else [])]
                hidden = self._checkpointed(tape, index, hidden, run, given, mask)
                del given
            else:
                hidden = self.block(index, hidden, run, self.shared_by(index, shared), mask)
        tape.begin(phase, "head")
        hidden = gathered(self.final(hidden), run.length, run.split)
        del padding, positions, masks, shared, early, others
        return hidden

    def _checkpointed(
        self, tape: Tape, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> Tensor:
        inputs = [hidden, *shared] + ([mask] if mask is not None else [])
        return checkpointed(tape, lambda: self.block(index, hidden, run, shared, mask), inputs)

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        """transformers' masks, one for each window among the layers, (1 or batch, 1, length, past + length):
        none where the kernel's own causal rule does, boolean for sdpa, in the model's format for eager."""
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys(self.spec.windows or (None,))}

    def _mask(self, tape: Tape, run: Run, fmt: Format, window: int | None) -> Tensor | None:
        keys = run.past + run.length
        # [transformers masking_utils.py, _ignore_causal_mask_sdpa]
        sliding = window is not None and bool(np.max(keys) >= window)
        room = run.cache.capacity_or_none if run.cache is not None else None
        if not (run.eager or run.padded or sliding or room is not None):
            return None
        if room is not None:
            keys = room if window is None else at_most(room, window)
        elif window is not None:
            keys = at_most(run.past, window - 1) + run.length
        return self._made_mask(tape, run, fmt, keys, window)

    def _made_mask(self, tape: Tape, run: Run, fmt: Format, keys: Size, window: int | None = None) -> Tensor:
        shape = (1, 1, run.length, keys)
        causal = fresh(tape, shape, Format.BOOL, "causal mask")
        allowed = fresh(tape, shape, Format.BOOL, "causal mask")
        del causal
        if run.padded:
            shape = (run.batch, *shape[1:])
            allowed = fresh(tape, shape, Format.BOOL, "causal and padding mask")
        if not run.eager:
            return allowed
        return fresh(tape, (run.batch, *shape[1:]), fmt, "additive mask")

    def logits(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        """The model with its head: logits (batch, length or 1, vocab)."""
        hidden = self.hidden_states(tape, ids, run)
        if run.last_logits:
            hidden = hidden.view(run.batch, 1, self.embedding_width)
        return self.project_out(hidden)

    def outputs(self, tape: Tape, inputs: Inputs, run: Run) -> list[Tensor]:
        return [self.logits(tape, inputs["input_ids"], replace(run, padding=inputs.get("attention_mask")))]

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """Forward pass and transformers' ForCausalLMLoss: logits upcast to fp32, cross entropy over all of them.

        Logits and last hidden states live until the loss is taken."""
        run = replace(run, padding=inputs.get("attention_mask"))
        hidden = self.hidden_states(tape, inputs["input_ids"], run)
        if run.fused_loss:
            return self._fused_loss(tape, hidden, run)
        logits = self.project_out(hidden)
        wide = ops.to(logits, Format.FP32)
        padded = fresh(tape, (run.batch, run.length + 1), Format.INT64, "padded labels")
        # The shifted labels of a single sequence are contiguous already: no copy.
        shifted = padded if tape.one_sequence else fresh(tape, (run.batch, run.length), Format.INT64, "labels")
        padded.storage.record.fixed = shifted.storage.record.fixed = True
        loss = ops.cross_entropy(wide, shifted)
        del hidden, logits, wide, padded, shifted
        return loss

    def _fused_loss(self, tape: Tape, hidden: Tensor, run: Run) -> Tensor:
        """Liger's head and loss in one: the logits are never whole."""
        if self.head.weight.needs_grad and not hidden.needs_grad:
            raise ScenarioError(
                "Liger's fused loss makes gradients only where the hidden states need one: it fails for a head alone",
                "training.loss",
                ["standard"],
            )
        padded = fresh(tape, (run.batch, run.length + 1), Format.INT64, "padded labels")
        shifted = padded if tape.one_sequence else fresh(tape, (run.batch, run.length), Format.INT64, "labels")
        padded.storage.record.fixed = shifted.storage.record.fixed = True
        return ops.fused_linear_cross_entropy(hidden, self.head.weight)
