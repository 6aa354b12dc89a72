"""Reads Qwen3-Next's configurations (transformers 5.23 models/qwen3_next/configuration_qwen3_next.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.delta_loop import Delta
from memcalc.architectures.qwen3_next import Qwen3NextSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.decoders import rotary_width, sizes
from memcalc.models.readers.moe import chosen_experts, dense_layers, expert_count, plain_routing

_DEFAULTS = {
    "vocab": 151936, "hidden": 2048, "layers": 48, "heads": 16, "kv_heads": 2, "head_dim": 256, "ffn": 5632,
    "positions": 32768,
}  # fmt: skip
KINDS = ("linear_attention", "full_attention")


def attending(read: Reader, layers: int) -> tuple[int, ...]:
    """The layers that attend: as ``layer_types`` says, else every ``full_attention_interval``-th."""
    types = read.config.get("layer_types")
    if types is None:
        every = read.config.get("full_attention_interval")
        every = 4 if every is None else read.size("full_attention_interval")
        return tuple(i for i in range(layers) if (i + 1) % every == 0)
    if not isinstance(types, list) or len(types) != layers or any(one not in KINDS for one in types):
        raise ModelError(f"layer_types must name each of the {layers} layers", f"{FIELD}.layer_types", KINDS)
    return tuple(i for i, one in enumerate(types) if one == "full_attention")


def read_qwen3_next(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _DEFAULTS)
    experts = expert_count(read, 512)
    plain_routing(read)
    delta = Delta(
        read.size("linear_num_key_heads", 16),
        read.size("linear_num_value_heads", 32),
        read.size("linear_key_head_dim", 128),
        read.size("linear_value_head_dim", 128),
    )
    if delta.value_heads % delta.key_heads:
        raise ModelError(
            f"{delta.value_heads} value heads do not divide among {delta.key_heads} key heads",
            f"{FIELD}.linear_num_value_heads",
        )
    biased = read.flag("attention_bias", False)
    spec = Qwen3NextSpec(
        family="qwen3_next",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        qk_norm=True,
        experts=experts,
        chosen=chosen_experts(read, experts, 10),
        expert_ffn=read.size("moe_intermediate_size", 512),
        shared_ffn=read.size("shared_expert_intermediate_size", 512),
        dense_layers=dense_layers(read, common["layers"]),
        normalise=read.flag("norm_topk_prob", True),
        attention_layers=attending(read, common["layers"]),
        rotary_dim=rotary_width(read, common["head_dim"], 0.25),
        delta=delta,
        kernel=read.size("linear_conv_kernel_dim", 4),
    )
    return spec, read.assumptions


FAMILIES = {"qwen3_next": Family(read_qwen3_next, "Qwen3NextForCausalLM")}
