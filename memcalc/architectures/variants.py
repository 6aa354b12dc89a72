"""Small variations of Llama: Seed-OSS (dropout after attention and feed-forward), ERNIE 4.5 (rotary positions in fp32
on neighbouring values), Hunyuan (norms on queries and keys once they are rotated), EXAONE 4 (norms after attention and
feed-forward, layers without rotary positions).

Mirrors transformers 5.23 models/{seed_oss,ernie4_5,hunyuan_v1_dense,exaone4}/modeling_*.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.layers import Norm, rms_norm
from memcalc.architectures.llama import Block, Llama, rotary_table, rotate_half
from memcalc.architectures.olmo import NormsAfter
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class SeedOss(Llama):
    """Dropout on what attention and feed-forward add to the residual."""

    def attended(self, out: Tensor, run: Run) -> Tensor:
        return ops.dropout(out, self.spec.residual_dropout if run.training else 0.0)

    def fed(self, out: Tensor, run: Run) -> Tensor:
        return ops.dropout(out, self.spec.residual_dropout if run.training else 0.0)


class Ernie(Llama):
    """Rotary tables and products in fp32; every layer spreads the tables anew."""

    def shared(self, tape: Tape, run: Run, fmt: Format) -> list[Tensor]:
        return rotary_table(tape, run, self.rotary_dim, Format.FP32)

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        cos, sin = (fresh(one.tape, one.shape, one.format, "repeat_interleave") for one in shared[:2])
        wide_query, wide_key = _rotated(query, cos, sin), _rotated(key, cos, sin)
        return ops.to(wide_query, query.format), ops.to(wide_key, key.format)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x.float() * cos + rotate_half(x).float() * sin``."""
    return ops.add(ops.mul(ops.to(x, Format.FP32), cos), ops.mul(ops.to(rotate_half(x), Format.FP32), sin))


class Hunyuan(Llama):
    """Queries and keys are normed after their rotation."""

    unfused = ("query_layernorm", "key_layernorm")

    def qk_norms(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(name, (self.spec.head_dim,)) for name in ("query_layernorm", "key_layernorm")]

    def positioned(self, one: Block, name: str, x: Tensor) -> Tensor:
        return one.norms[f"{name}_layernorm"](x)


class Exaone4(NormsAfter):
    """Where some layers slide, only those rotate."""

    def make_norm(self, path: str, *shape: int, repeat: int = 1) -> Norm:
        # What comes back to a norm behind a block goes to the residual too: Liger does not write over it.
        weight = self.maker.parameter(f"{path}.weight", *shape, repeat=repeat)
        return lambda x: rms_norm(x, weight, in_place=False)

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if self.spec.windows and self.spec.window(self.plan[index].layer) is None:
            return query, key
        return super().position(index, query, key, shared)

    def attention_masks(self, tape: Tape, run: Run, fmt: Format) -> dict[int | None, Tensor | None]:
        # The mask of full attention is made even where all layers slide.
        return {one: self._mask(tape, run, fmt, one) for one in dict.fromkeys((None, *self.spec.windows))}
