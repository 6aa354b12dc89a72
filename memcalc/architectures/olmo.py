"""OLMo 1 to 3: rotary positions in fp32; a layer norm without weights and clipped projections (1), or norms after
attention and feed-forward and on whole queries and keys (2, 3), and sliding layers (3).

Mirrors transformers 5.23 models/{olmo,olmo2,olmo3}/modeling_*.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memcalc.architectures.layers import Norm
from memcalc.architectures.llama import Block, Llama, rotary_table, rotate
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node, keep
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class OlmoSpec(ModelSpec):
    """An OLMo model; whether queries, keys and values are clipped (``clip_qkv``)."""

    clipped: bool = False


class WideRotary(Llama):
    """Llama with rotary tables and products in fp32, cast back once both are rotated."""

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.rotary_dim, Format.FP32)

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        cos, sin = shared[:2]
        wide_query, wide_key = rotate(query, cos, sin), rotate(key, cos, sin)
        return ops.to(wide_query, query.format), ops.to(wide_key, key.format)


class Olmo(WideRotary):
    """OLMo 1."""

    spec: OlmoSpec

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        return lambda x: ops.to(ops.layer_norm(ops.to(x, Format.FP32), None, None), x.format)

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        spec = self.spec
        b, s, d = run.batch, run.length, spec.head_dim
        query, key, value = (one.linears[name](hidden) for name in ("q_proj", "k_proj", "v_proj"))
        if spec.clipped:
            query, key, value = clamped(query), clamped(key), clamped(value)
        return query.view(b, spec.heads, s, d), key.view(b, spec.kv_heads, s, d), value.view(b, spec.kv_heads, s, d)


class NormsAfter(Llama):
    """Llama whose attention and feed-forward read the residual as it is; their results are normed."""

    norm_names = ("post_attention_layernorm", "post_feedforward_layernorm")

    def block(self, index: int, hidden: Tensor, run: Run, shared: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        one = self.blocks[index]
        residual = hidden
        hidden, weights = self.attend(index, one, hidden, run, shared, mask)
        hidden = one.norms["post_attention_layernorm"](hidden)
        hidden = ops.add(residual, hidden)
        residual = hidden
        hidden = self.mlp(one, hidden)
        hidden = one.norms["post_feedforward_layernorm"](hidden)
        hidden = ops.add(residual, hidden)
        del weights
        return hidden


class Olmo2(NormsAfter, WideRotary):
    """OLMo 2."""

    unfused = ("q_norm", "k_norm")

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        fused = not path.endswith(self.unfused)
        return lambda x: olmo2_norm(x, weight, fused)

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        spec = self.spec
        return [("q_norm", (spec.heads * spec.head_dim,)), ("k_norm", (spec.kv_heads * spec.head_dim,))]

    def project(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
        return wide_normed(self.spec, one, hidden, run)


class Olmo3(Olmo2):
    """OLMo 3: sliding layers, and a rotary table for each kind of layer."""

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return super().buffers() * len(self.kinds)

    @property
    def kinds(self) -> list[int | None]:
        """The windows among the layers; None is full attention."""
        return list(dict.fromkeys(self.spec.windows))

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return [one for _ in self.kinds for one in super(Olmo3, self).shared(tape, run, fmt)]

    def shared_by(self, index: int, shared: Sequence[Tensor]) -> Sequence[Tensor]:
        first = 2 * self.kinds.index(self.spec.window(self.plan[index].layer))
        return shared[first : first + 2]

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        # Both masks are made, whichever kinds of layers there are.
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys((None, *self.spec.windows))}


def wide_normed(spec: ModelSpec, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, ...]:
    """Queries, keys and values as Llama's ``project`` gives them, with norms on queries and keys of all heads."""
    b, s, d = run.batch, run.length, spec.head_dim
    query = one.norms["q_norm"](one.linears["q_proj"](hidden))
    key = one.norms["k_norm"](one.linears["k_proj"](hidden))
    value = one.linears["v_proj"](hidden)
    return query.view(b, spec.heads, s, d), key.view(b, spec.kv_heads, s, d), value.view(b, spec.kv_heads, s, d)


def olmo2_norm(x: Tensor, weight: Parameter, fused: bool = True) -> Tensor:
    """Olmo2RMSNorm: as Llama's, but multiplied by its weight before the cast back (or Liger's fused one)."""
    if x.tape.liger and fused:
        return ops.fused_rms_norm(x, weight, in_place=False)
    fmt = x.format
    x = ops.to(x, Format.FP32)
    variance = ops.mean_last(ops.power(x))
    x = ops.mul(x, ops.rsqrt(ops.add_scalar(variance)))
    return ops.to(ops.mul(x, weight), fmt)


def clamped(x: Tensor) -> Tensor:
    """``x.clamp_(min, max)``: in place, so that autograd keeps a clone of what it was; backward compares that with
    both bounds [torch/csrc/autograd/FunctionsManual.cpp, clamp_backward]."""
    tape, shape, fmt = x.tape, x.shape, x.format

    def backward(grad: Tensor) -> Grads:
        zero = fresh(tape, (1,), fmt, "scalar_tensor")
        inside = fresh(tape, shape, Format.BOOL, "ge (gradient)")
        below = fresh(tape, shape, Format.BOOL, "le (gradient)")
        del below
        out = fresh(tape, shape, fmt, "where (gradient)")
        del inside, zero
        return [out]

    original = fresh(tape, shape, fmt, "clone") if tape.grad_enabled and x.needs_grad else None
    node = graph_node(tape, (x,), backward)
    if node is not None and original is not None:
        keep(tape, node, (original,))
    return Tensor(x.storage, shape, fmt, node)
