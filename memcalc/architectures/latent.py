"""Multi-head latent attention: queries, keys and values out of narrow latents, and a cache of the latents alone.

Mirrors the attention of transformers 5.23 models/deepseek_v2 and models/deepseek_v3 [DeepSeek-V2, arXiv 2405.04434].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memcalc.architectures.adapters import QWEN_NAMES
from memcalc.architectures.attention import attention
from memcalc.architectures.llama import Block
from memcalc.architectures.moe import Mixtral
from memcalc.architectures.run import Run
from memcalc.architectures.shared_moe import SharedSpec
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node, operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class LatentSpec(SharedSpec):
    """A decoder with latent attention: the ranks of the latents (``query_rank`` 0: queries straight from the hidden
    states), the parts of a head without and with rotary positions, the values' head size."""

    query_rank: int = 0
    kv_rank: int = 512
    plain_dim: int = 128
    rotary_dim: int = 64
    value_dim: int = 128
    interleaved: bool = True

    def cache_shape(self, layer: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (1, self.kv_rank), (1, self.rotary_dim)


class Latent(Mixtral):
    """A mixture of experts with latent attention. Families give the router and ``rotated``."""

    spec: LatentSpec
    linear_names = (
        "q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj",
        "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    peft_targets = ("kv_b_proj", "o_proj")
    expert_names = QWEN_NAMES
    router_first = False

    @property
    def rotary_dim(self) -> int:
        return self.spec.rotary_dim

    def attention_linears(self) -> list[tuple[str, int, int, bool]]:
        spec = self.spec
        h, query = spec.hidden, spec.heads * spec.head_dim
        first = [("q_proj", h, query, False)]
        if spec.query_rank:
            first = [("q_a_proj", h, spec.query_rank, spec.qkv_bias), ("q_b_proj", spec.query_rank, query, False)]
        return [
            *first,
            ("kv_a_proj_with_mqa", h, spec.kv_rank + spec.rotary_dim, spec.qkv_bias),
            ("kv_b_proj", spec.kv_rank, spec.heads * (spec.plain_dim + spec.value_dim), False),
            ("o_proj", spec.heads * spec.value_dim, h, spec.output_bias),
        ]

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        spec = self.spec
        first = [("q_a_layernorm", (spec.query_rank,))] if spec.query_rank else []
        return [*first, ("kv_a_layernorm", (spec.kv_rank,))]

    def rotated(self, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The rotary parts of queries (batch, heads, length, r) and keys (batch, 1, length, r), rotated."""
        raise NotImplementedError

    def attend(
        self, index: int, one: Block, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        b, s = run.batch, run.length
        narrow = hidden
        if spec.query_rank:
            narrow = one.norms["q_a_layernorm"](one.linears["q_a_proj"](hidden))
        query = one.linears["q_b_proj" if spec.query_rank else "q_proj"](narrow).view(b, spec.heads, s, spec.head_dim)
        del narrow
        plain, turned = ops.split_last(query, (spec.plain_dim, spec.rotary_dim))
        latents = one.linears["kv_a_proj_with_mqa"](hidden)
        latent, key_turned = ops.split_last(latents, (spec.kv_rank, spec.rotary_dim))
        latent = one.norms["kv_a_layernorm"](latent).view(b, 1, s, spec.kv_rank)
        turned, key_turned = self.rotated(turned, key_turned.view(b, 1, s, spec.rotary_dim), shared)
        if run.cache is not None:
            latent, key_turned = run.cache.update(index, latent, key_turned, None, run.past)
        whole = ops.cat_halves(plain, turned)
        key, value, expanded = self._expanded(one, latent, key_turned)
        p = spec.attention_dropout if run.training else 0.0
        uncached = replace(run, cache=None)  # keys and values are made anew, they do not lie as in a cache
        out, weights = attention(whole, key, value, mask, uncached, p, Format.FP32, by_head=True)
        out = one.linears["o_proj"](out)
        del query, plain, turned, latents, latent, key_turned, whole, key, value, expanded
        return out, weights

    def _expanded(self, one: Block, latent: Tensor, turned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys (batch, heads, keys, d), values (batch, heads, keys, value_dim), and what the values are a view of."""
        spec = self.spec
        b, _, keys, _ = latent.shape
        wide = spec.plain_dim + spec.value_dim
        expanded = one.linears["kv_b_proj"](latent).view(b, spec.heads, keys, wide)
        plain, value = ops.split_last(expanded, (spec.plain_dim, spec.value_dim))
        return assembled_keys(plain, turned), value, expanded


def assembled_keys(plain: Tensor, turned: Tensor) -> Tensor:
    """Keys whose first values are ``plain`` (batch, heads, length, n) and last ``turned`` (batch, 1, length, r), the
    same for every head: two copies into a new tensor. Each copy's backward makes a tensor of the whole's size, and
    a clone of its own part [torch/csrc/autograd/functions/tensor.cpp, CopySlices]."""
    tape, fmt = plain.tape, plain.format
    batch, heads, length, n = plain.shape
    r = turned.shape[-1]
    shape, one_head, spread = (batch, heads, length, n + r), turned.shape, (batch, heads, length, r)

    def expand_backward(grad: Tensor) -> Grads:
        return [fresh(tape, one_head, fmt, "sum (gradient)")]

    seen = Tensor(turned.storage, spread, fmt, graph_node(tape, (turned,), expand_backward), 0, True)

    def first_backward(grad: Tensor) -> Grads:
        whole = fresh(tape, shape, fmt, "new_empty (gradient)")
        part = fresh(tape, (batch, heads, length, n), fmt, "clone (gradient)")
        del whole
        return [part]

    first_needs, second_needs = plain.needs_grad, seen.needs_grad

    def second_backward(grad: Tensor) -> Grads:
        grads: Grads = [fresh(tape, shape, fmt, "new_empty (gradient)")] if first_needs else []
        if second_needs:
            grads.append(fresh(tape, spread, fmt, "clone (gradient)"))
            zeros = fresh(tape, spread, fmt, "zeros_like (gradient)")
            del zeros
        return grads

    first = operator(tape, "new_empty", (plain,), shape, fmt, first_backward)
    node = graph_node(tape, (first, seen), second_backward)
    return Tensor(first.storage, shape, fmt, node)
