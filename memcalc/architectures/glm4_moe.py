"""GLM-4.5 to 4.7 and their Air: DeepSeek-V3's mixture with grouped-query attention, rotary positions on part of each
head. MiniMax-M2: the same attention with norms on whole queries and keys, no shared experts.

Mirrors transformers 5.23 models/glm4_moe/modeling_glm4_moe.py and models/minimax_m2/modeling_minimax_m2.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.adapters import QWEN_NAMES
from memcalc.architectures.llama import Block, Llama
from memcalc.architectures.moe import Mixtral, MoeSpec, SparseBlock
from memcalc.architectures.rotary import PartialRotary
from memcalc.architectures.run import Run
from memcalc.architectures.shared_moe import SharedSpec, SigmoidRouting
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.routing import gather_columns, normalised_in_place
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Glm4MoeSpec(SharedSpec):
    """A GLM-4.5; the first ``rotary_dim`` values of each head are rotated."""

    rotary_dim: int = 0


class Glm4Moe(PartialRotary, SigmoidRouting):
    """GLM-4.5, 4.6, 4.7 and Air."""

    spec: Glm4MoeSpec  # type: ignore[assignment]
    linear_names = Llama.linear_names
    peft_targets = ()
    expert_names = QWEN_NAMES
    router_first = False

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        """All three products first, then the norms, which decides what backward meets first."""
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        query = one.linears["q_proj"](hidden).view(b, s, spec.heads, d)
        key = one.linears["k_proj"](hidden).view(b, s, spec.kv_heads, d)
        value = one.linears["v_proj"](hidden).view(b, spec.kv_heads, s, d)
        if spec.qk_norm:
            query = one.norms["q_norm"](query)
            key = one.norms["k_norm"](key)
        return query.view(b, spec.heads, s, d), key.view(b, spec.kv_heads, s, d), value


@dataclass(frozen=True, slots=True)
class MiniMaxM2Spec(MoeSpec):
    """A MiniMax-M2; the first ``rotary_dim`` values of each head are rotated."""

    rotary_dim: int = 0


class MiniMaxM2(PartialRotary, Mixtral):
    """Sigmoid scores and a correction in the model's format that only chooses."""

    spec: MiniMaxM2Spec  # type: ignore[assignment]
    peft_targets = ()

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        spec = self.spec
        return [("q_norm", (spec.heads * spec.head_dim,)), ("k_norm", (spec.kv_heads * spec.head_dim,))]

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        query = one.norms["q_norm"](one.linears["q_proj"](hidden))
        key = one.norms["k_norm"](one.linears["k_proj"](hidden))
        value = one.linears["v_proj"](hidden)
        return query.view(b, spec.heads, s, d), key.view(b, spec.kv_heads, s, d), value.view(b, spec.kv_heads, s, d)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        correction = ("mlp.e_score_correction_bias", (self.spec.experts,), self.maker.format)
        return [*super().buffers(), *[correction] * self.spec.layers]

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        assert isinstance(one, SparseBlock)
        assert one.experts is not None
        batch, length, hidden = x.shape
        tokens, spec = batch * length, self.spec
        flat = x.view(tokens, hidden)
        router, change = one.router_weight(x.tape)
        logits = ops.linear(flat, router)
        scores = ops.sigmoid(ops.to(logits, Format.FP32))
        # What only chooses is cut from the graph here: no gradient comes back through it.
        corrected = fresh(x.tape, (tokens, spec.experts), Format.FP32, "add")
        best = fresh(x.tape, (tokens, spec.chosen), Format.FP32, "topk")
        index = fresh(x.tape, (tokens, spec.chosen), Format.INT64, "topk")
        weights = normalised_in_place(gather_columns(scores, index))
        del router, change, scores, corrected, best
        out = one.experts(flat, index, weights)
        del logits
        return out.view(batch, length, hidden)
