"""A weight as formats and runtimes see it: what it does, where it lies, its shape."""

from __future__ import annotations

from dataclasses import dataclass

Kind = str
"""What a tensor does, in llama.cpp's words: token_embd, output, position_embd, norm, bias, attn_q, attn_k, attn_v,
attn_qkv, attn_output, ffn_gate, ffn_up, ffn_down, ffn_gate_inp (a router), other."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of the model. ``layer`` is None outside the blocks; ``rows`` are outputs, ``columns`` inputs (a row is
    what quantisation cuts into blocks); ``copies`` equal matrices lie in one tensor (experts)."""

    name: str
    kind: Kind
    layer: int | None
    rows: int
    columns: int
    copies: int = 1

    @property
    def count(self) -> int:
        """Values in it."""
        return self.rows * self.columns * self.copies
