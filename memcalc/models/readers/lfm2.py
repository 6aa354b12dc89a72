"""Reads LFM2's configurations (transformers 5.23 models/lfm2/configuration_lfm2.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.lfm2 import Lfm2Spec
from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader, finite
from memcalc.models.readers.decoders import sizes

_DEFAULTS = {"vocab": 65536, "hidden": 2560, "ffn": 12288, "positions": 128_000, "kv_heads": 8, "tied": True}
KINDS = ("conv", "full_attention")


def read_lfm2(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    names = {"tie_word_embeddings": "tie_embedding", "intermediate_size": "block_ff_dim"}
    read = Reader(config, {name: own for name, own in names.items() if own in config})
    common = sizes(read, _DEFAULTS)
    common["ffn"] = _adjusted(read, common["ffn"])
    spec = Lfm2Spec(
        family="lfm2",
        **{**common, "attention_dropout": 0.0},  # the model code has none
        qk_norm=True,
        attention_layers=_attending(read, common["layers"]),
        kernel=read.size("conv_L_cache", 3),
        conv_bias=read.flag("conv_bias", False),
    )
    return spec, read.assumptions


def _adjusted(read: Reader, width: int) -> int:
    """The feed-forward's width: two thirds of what is given, times a factor, in whole multiples; or as given."""
    if not read.flag("block_auto_adjust_ff_dim", True):
        return width
    width = int(2 * width / 3)
    factor = read.config.get("block_ffn_dim_multiplier", 1.0)
    if factor is None:
        return width
    if not finite(factor) or not 0 < factor < 1000:
        raise ModelError("block_ffn_dim_multiplier must be a positive number", f"{FIELD}.block_ffn_dim_multiplier")
    multiple = read.size("block_multiple_of", 256)
    return -(-int(factor * width) // multiple) * multiple


def _attending(read: Reader, layers: int) -> tuple[int, ...]:
    """The layers that attend: as ``layer_types`` says, or ``full_attn_idxs``; all where both are silent."""
    types, named = read.config.get("layer_types"), read.config.get("full_attn_idxs")
    if types is not None:
        if not isinstance(types, list) or len(types) != layers or any(one not in KINDS for one in types):
            raise ModelError(f"layer_types must name each of the {layers} layers", f"{FIELD}.layer_types", KINDS)
        return tuple(i for i, one in enumerate(types) if one == "full_attention")
    if named is None:
        return tuple(range(layers))
    if not isinstance(named, list) or any(isinstance(one, bool) or not isinstance(one, int) for one in named):
        raise ModelError("full_attn_idxs must be a list of layer numbers", f"{FIELD}.full_attn_idxs")
    return tuple(i for i in range(layers) if i in named)


FAMILIES = {"lfm2": Family(read_lfm2, "Lfm2ForCausalLM")}
