"""GPT-BigCode (SantaCoder, StarCoder): GPT-2 with a single head of keys and values for all queries.

Mirrors transformers 5.23 models/gpt_bigcode/modeling_gpt_bigcode.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.attention import attention
from memcalc.architectures.classic import Block, Classic, by_heads, split_last
from memcalc.architectures.layers import LinearShape, activation
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.tensor import Parameter, Tensor


class GptBigCode(Classic):
    """LayerNorm, learned positions, multi-query attention, head tied to the embedding."""

    final_norm = "ln_f"
    linear_names = ("c_attn", "c_proj", "c_fc")
    peft_targets = ("c_attn",)

    def layers(self) -> list[str | tuple[str, int] | LinearShape]:
        spec = self.spec
        h, kv = spec.hidden, spec.kv_heads * spec.head_dim
        return [
            "ln_1",
            ("attn.c_attn", h, h + 2 * kv, True),
            ("attn.c_proj", h, h, True),
            "ln_2",
            ("mlp.c_fc", h, spec.ffn, True),
            ("mlp.c_proj", spec.ffn, h, True),
        ]

    def build(self) -> None:
        self.positions = self.maker.parameter("wpe.weight", self.spec.max_positions, self.spec.hidden)
        super().build()

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        limit = self.spec.max_positions
        return [("bias", (limit, limit), Format.BOOL)]  # a causal triangle that nothing reads any more

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.positions]

    def embed(self, inputs_embeds: Tensor, positions: Tensor, run: Run) -> tuple[Tensor, ...]:
        position_embeds = ops.embedding(positions, self.positions)
        hidden = ops.add(inputs_embeds, position_embeds)
        return ops.dropout(hidden, self.spec.embedding_dropout if run.training else 0.0), position_embeds

    def final(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden).view()

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one, p = self.blocks[index], self.spec.residual_dropout if run.training else 0.0
        residual = hidden
        hidden = one.norms["ln_1"](hidden)
        attn_output, weights = self._attention(index, one, hidden, run, mask, p)
        hidden = ops.add(attn_output, residual)
        residual = hidden
        hidden = one.norms["ln_2"](hidden)
        feed_forward = self._mlp(one, hidden, p)
        hidden = ops.add(residual, feed_forward)
        del weights, attn_output  # local variables of the block
        return hidden

    def _mlp(self, one: Block, x: Tensor, p: float) -> Tensor:
        hidden = one.linears["c_fc"](x)
        hidden = activation(self.spec.activation, hidden)
        hidden = one.linears["mlp.c_proj"](hidden)
        return ops.dropout(hidden, p)

    def _attention(
        self, index: int, one: Block, hidden: Tensor, run: Run, mask: Tensor | None, p: float
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        if spec.kv_heads == 1:
            query, key, value = split_last(one.linears["c_attn"](hidden), (spec.hidden, d, d))
            query, key, value = query.view(b, spec.heads, s, d), key.view(b, 1, s, d), value.view(b, 1, s, d)
        else:
            query, key, value = ops.chunk_last(by_heads(one.linears["c_attn"](hidden), (b, spec.heads, s, 3 * d)), 3)
        if run.cache is not None:
            key, value = run.cache.update(index, key, value, None, run.past)
        dropout = spec.attention_dropout if run.training else 0.0
        out, weights = attention(query, key, value, mask, run, dropout, Format.FP32)
        out = one.linears["c_proj"](out)
        return ops.dropout(out, p), weights
