"""The loop over the chunks of the gated delta rule [transformers 5.23 models/qwen3_next/modeling_qwen3_next.py,
torch_chunk_gated_delta_rule]."""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import graph_node, keep
from memcalc.tensors.ops import slices
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Shape, Tensor

CHUNK = 64
"""Tokens of a chunk [modeling_qwen3_next.py, chunk_size]."""
FIRST = 3
"""Chunks that are run one by one before those that are taken together, as are the last two: between them every chunk
keeps as much as the one before, and backward is highest at the last ones."""
WIDE = Format.FP32


@dataclass(frozen=True, slots=True)
class Delta:
    """Heads of queries and keys, and of values (each of the former serves several of the latter), and their widths."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int

    @property
    def keys(self) -> int:
        """Values of all keys of a token."""
        return self.key_heads * self.key_dim

    @property
    def values(self) -> int:
        """Values of all values of a token."""
        return self.value_heads * self.value_dim

    @property
    def shared(self) -> int:
        """Value heads that a key head serves."""
        return self.value_heads // self.key_heads


QWEN3_NEXT = Delta(16, 32, 128, 128)
"""The heads of Qwen3-Next-80B-A3B."""


@dataclass(slots=True)
class Loop:
    """The local variables that the loop over the chunks gives new values: results, state, new values, and what the
    state says. ``copies``: queries and keys do not lie head by head."""

    out: Tensor
    state: Tensor
    copies: bool
    new: Tensor | None = None
    between: Tensor | None = None

    def turn(
        self,
        one: Delta,
        b: Size,
        query: Tensor,
        key: Tensor,
        values: Tensor,
        keys: Tensor,
        scores: Tensor,
        steps: Tensor,
        last: bool,
    ) -> None:
        """One chunk."""
        tape, h, k, v = self.out.tape, one.value_heads, one.key_dim, one.value_dim
        part: Shape = (b, h, CHUNK, v)
        read = ops.batched_product(slices.select(keys, (b, h, CHUNK, k)), self.state, part)
        new = ops.sub(slices.select(values, part), read)
        del read
        self.new = new
        asked = slices.select(query, (b, h, CHUNK, k))
        self.between = ops.batched_product(asked, self.state, part, (self.copies, False))
        del asked
        within = ops.batched_product(slices.select(scores, (b, h, CHUNK, CHUNK)), new, part)
        both = ops.add(self.between, within)
        del within
        self.out = slices.write_slice(self.out, both)
        del both
        enabled = tape.grad_enabled
        tape.grad_enabled = enabled and not last  # nothing asks for the gradient of the last state, and its nodes go
        decayed = ops.mul(self.state, slices.select(steps, (b, h)).view(b, h, 1, 1))
        added = ops.batched_product(slices.select(key, (b, h, k, CHUNK)), new, (b, h, k, v), (self.copies, False))
        following = ops.add(decayed, added)
        del decayed, added
        self.state = following
        tape.grad_enabled = enabled

    def skip(self, chunks: Size, each: Size) -> None:
        """``chunks`` more, which keep ``each`` bytes, the last of their states among them."""
        state = self.state
        tape, shape = state.tape, state.shape

        def backward(grad: Tensor) -> list[Tensor | None]:
            return [grad]

        kept = fresh(tape, (chunks, each), Format.UINT8, "kept by chunks")
        node = graph_node(tape, (state,), backward)
        if node is not None:
            keep(tape, node, (state, kept))
        self.state = Tensor(kept.storage, shape, WIDE, node)
