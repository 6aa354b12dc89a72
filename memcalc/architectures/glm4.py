"""GLM-4: partly rotary positions on neighbouring values, one product for gate and up; from 0414 on norms on both sides.

Mirrors transformers 5.23 models/glm/modeling_glm.py and models/glm4/modeling_glm4.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from memcalc.architectures.layers import LinearShape
from memcalc.architectures.llama import Block, rotate
from memcalc.architectures.phi3 import fused_mlp
from memcalc.architectures.rotary import PartialRotary, joined, parted
from memcalc.architectures.sandwich import Sandwich
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tensor import Tensor


class Glm(PartialRotary):
    """GLM-4 (2024): Llama's block; every layer spreads the rotary tables anew."""

    linear_names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj")

    def mlp_linears(self) -> list[LinearShape]:
        h, ffn = self.spec.hidden, self.spec.ffn
        return [("gate_up_proj", h, 2 * ffn, False), ("down_proj", ffn, h, False)]

    def mlp(self, one: Block, x: Tensor) -> Tensor:
        return fused_mlp(one, x, self.spec.activation)

    def position(self, index: int, query: Tensor, key: Tensor, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
        cos, sin = (fresh(one.tape, one.shape, one.format, "repeat_interleave") for one in shared[:2])
        query_rot, query_pass = parted(query, self.rotary_dim)
        key_rot, key_pass = parted(key, self.rotary_dim)
        query_embed, key_embed = rotate(query_rot, cos, sin), rotate(key_rot, cos, sin)
        query_embed = joined(query_embed, query_pass)
        return query_embed, joined(key_embed, key_pass)


class Glm4(Sandwich, Glm):
    """GLM-4 (0414): norms on both sides."""

    norm_names = (
        "input_layernorm",
        "post_attention_layernorm",
        "post_self_attn_layernorm",
        "post_mlp_layernorm",
    )
    around = ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm")
