"""Reads configurations of Bamba and Granite 4 (transformers 5.23 models/{bamba,granitemoehybrid}/configuration_*)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.bamba import SsdHybridSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader
from memcalc.models.readers.decoders import rotary_width, sizes
from memcalc.models.readers.falcon_h1 import mamba_scan
from memcalc.models.readers.moe import chosen_experts, plain_routing

_BAMBA = {"vocab": 128000, "ffn": 14336, "positions": 262144, "kv_heads": 8}
_GRANITE = {"vocab": 32000, "ffn": 11008, "positions": 2048}
KINDS = ("linear_attention", "full_attention", "mamba", "attention")
"""Kinds of layers; the last two as released configurations of Granite 4 have them."""


def read_bamba(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _BAMBA)
    if config.get("z_loss_coefficient") not in (None, 0, 0.0):
        raise ModelError("the loss on the logits' size has no program yet", f"{FIELD}.z_loss_coefficient", [0.0])
    named = config.get("attn_layer_indices") or []
    if not isinstance(named, list) or any(isinstance(one, bool) or not isinstance(one, int) for one in named):
        raise ModelError("attn_layer_indices must be a list of layer numbers", f"{FIELD}.attn_layer_indices")
    spec = SsdHybridSpec(
        family="bamba",
        **common,
        mlp_bias=read.flag("mlp_bias", False),
        experts=1,
        attention_layers=tuple(i for i in range(common["layers"]) if i in named),
        rotary_dim=rotary_width(read, common["head_dim"], 0.5),
        **_mixer(read, common["hidden"]),
    )
    return spec, read.assumptions


def read_granite4(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common = sizes(read, _GRANITE)
    layers = common["layers"]
    given = config.get("num_local_experts", 8)
    experts = 1 if given in (None, 0) else read.size("num_local_experts", 8)
    plain_routing(read)
    rotary = config.get("position_embedding_type")
    if rotary not in (None, "nope", "rope"):
        raise ModelError(
            f"position_embedding_type {rotary!r} is unknown", f"{FIELD}.position_embedding_type", ["rope", None]
        )
    spec = SsdHybridSpec(
        family="granitemoehybrid",
        **common,
        experts=experts,
        chosen=chosen_experts(read, experts, 2) if experts > 1 else 1,
        expert_ffn=common["ffn"],
        attention_layers=_attending(read, layers),
        rotary_dim=common["head_dim"] if rotary == "rope" else 0,
        shared_ffn=read.size("shared_intermediate_size", 1024),
        **_mixer(read, common["hidden"]),
    )
    return spec, read.assumptions


def _mixer(read: Reader, hidden: int) -> dict[str, Any]:
    """The fields of the mixer, and the attention's biases."""
    biased = read.flag("attention_bias", False)
    return {
        "ssd": mamba_scan(read, read.size("mamba_expand", 2) * hidden, 1, 256),
        "kernel": read.size("mamba_d_conv", 4),
        "conv_bias": read.flag("mamba_conv_bias", True),
        "linear_bias": read.flag("mamba_proj_bias", False),
        "qkv_bias": biased,
        "output_bias": biased,
    }


def _attending(read: Reader, layers: int) -> tuple[int, ...]:
    """The layers that attend, as ``layer_types`` (``layers_block_type``) says; none where it is silent."""
    name = "layer_types" if read.config.get("layer_types") is not None else "layers_block_type"
    types = read.config.get(name)
    if types is None:
        return ()
    if not isinstance(types, list) or len(types) != layers or any(one not in KINDS for one in types):
        raise ModelError(f"{name} must name each of the {layers} layers", f"{FIELD}.{name}", KINDS)
    return tuple(i for i, one in enumerate(types) if one in ("full_attention", "attention"))


FAMILIES = {
    "bamba": Family(read_bamba, "BambaForCausalLM"),
    "granitemoehybrid": Family(read_granite4, "GraniteMoeHybridForCausalLM"),
}
