"""OPT: learned positions counted from the attention mask, biases everywhere, relu, dropout.

Mirrors transformers 5.23 models/opt/modeling_opt.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.attention import attention
from memcalc.architectures.classic import Block, Classic, reshaped
from memcalc.architectures.layers import LinearShape, Norm, activation
from memcalc.architectures.run import Run
from memcalc.architectures.spec import DecoderSpec
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor

OFFSET = 2
"""Positions begin at the third row of their table, as in the original code."""


@dataclass(frozen=True, slots=True)
class OptSpec(DecoderSpec):
    """``norm_first``: LayerNorm before attention and feed-forward (OPT-350m: after them); ``embedding``: values of a
    token's embedding, projected to the hidden size and back where they differ; ``final_norm``: whether there is one."""

    norm_first: bool = True
    embedding: int = 0
    final_norm: bool = True


class Opt(Classic):
    """LayerNorm, learned positions, separate queries, keys and values, head tied to the embedding."""

    spec: OptSpec
    rebinds_embeddings = True
    linear_names = ("k_proj", "v_proj", "q_proj", "out_proj", "fc1", "fc2")
    peft_targets = ("q_proj", "v_proj")

    @property
    def embedding_width(self) -> int:
        return self.spec.embedding

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        h, ffn, bias = self.spec.hidden, self.spec.ffn, self.spec.mlp_bias
        return [
            *((f"self_attn.{name}", h, h, bias) for name in ("k_proj", "v_proj", "q_proj", "out_proj")),
            "self_attn_layer_norm",
            ("fc1", h, ffn, bias),
            ("fc2", ffn, h, bias),
            "final_layer_norm",
        ]

    def build(self) -> None:
        spec, make = self.spec, self.maker
        self.positions = make.parameter("embed_positions.weight", spec.max_positions + OFFSET, spec.hidden)
        self.projects = spec.embedding != spec.hidden
        if self.projects:
            self.to_embedding = make.linear("decoder", "project_out", spec.hidden, spec.embedding, False)
            self.from_embedding = make.linear("decoder", "project_in", spec.embedding, spec.hidden, False)
        super().build()

    def make_norm(self, path: str, width: int, repeat: int = 1) -> Norm:
        if path == self.final_norm and not self.spec.final_norm:
            return lambda x: x
        return super().make_norm(path, width, repeat)

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.positions]

    def position_ids(self, tape: Tape, run: Run) -> Tensor:
        """Running sums over the whole mask, the new tokens' part of them."""
        whole = (run.batch, run.past + run.length)
        return fresh(tape, whole, Format.INT64, "position ids")

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        tape = inputs_embeds.tape
        ones = () if run.padded else (fresh(tape, positions.shape, Format.FP32, "attention mask of ones"),)
        shifted = fresh(tape, (run.batch, run.length), Format.INT64, "positions + 2")
        pos_embeds = ops.embedding(shifted, self.positions)
        del shifted
        if self.projects:
            inputs_embeds = self.from_embedding(inputs_embeds)
        return ops.add(inputs_embeds, pos_embeds), inputs_embeds, pos_embeds, *ones

    def final(self, hidden: Tensor) -> Tensor:
        hidden = self.norm(hidden)
        return self.to_embedding(hidden) if self.projects else hidden

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, spec = self.blocks[index], self.spec
        p = spec.residual_dropout if run.training else 0.0
        attention_norm, mlp_norm = one.norms["self_attn_layer_norm"], one.norms["final_layer_norm"]
        residual = hidden
        if spec.norm_first:
            hidden = attention_norm(hidden)
        hidden, weights = self._attention(index, one, hidden, run, mask)
        hidden = ops.dropout(hidden, p)
        hidden = ops.add(residual, hidden)
        if not spec.norm_first:
            hidden = attention_norm(hidden)
        hidden = reshaped(hidden, *hidden.shape)  # (batch · length, hidden) in the model code
        residual = hidden
        if spec.norm_first:
            hidden = mlp_norm(hidden)
        hidden = one.linears["fc1"](hidden)
        hidden = activation(spec.activation, hidden)
        hidden = one.linears["fc2"](hidden)
        hidden = ops.dropout(hidden, p)
        hidden = reshaped(ops.add(residual, hidden), *hidden.shape)
        if not spec.norm_first:
            hidden = mlp_norm(hidden)
        del weights
        return hidden

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        shape = (run.batch, spec.heads, run.length, spec.head_dim)
        query = ops.scale(one.linears["q_proj"](hidden)).view(*shape)
        key = one.linears["k_proj"](hidden)
        value = one.linears["v_proj"](hidden)
        key, value = key.view(*shape), value.view(*shape)
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        out, weights = attention(
            query, key, value, mask, run, spec.attention_dropout if run.training else 0.0, Format.FP32
        )
        out = one.linears["out_proj"](out)
        return out, weights
