"""Reads Gemma 3n (text) configurations (transformers 5.23 models/gemma3n/configuration_gemma3n.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.gemma3n import Gemma3nSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, LARGEST_DIMENSION, Family, Reader, finite
from memcalc.models.readers.decoders import layer_windows, sizes
from memcalc.models.readers.gemma import GELU

_GEMMA3N = {
    "hidden": 2048, "vocab": 262400, "ffn": 16384, "layers": 35, "heads": 8, "kv_heads": 2, "head_dim": 256,
    "positions": 32768, "tied": True, "act": GELU, "activation_field": "hidden_activation",
}  # fmt: skip
PERIOD, SPARSE_LAYERS = 5, 10
"""Every so many layers one attends to everything; of larger models so many first layers are sparse, if nothing else is
said."""


def read(config: Mapping[str, Any]) -> tuple[Gemma3nSpec, list[str]]:
    layers = Reader(config).size("num_hidden_layers", 35)
    widths = _widths(config, layers)
    read = Reader({**config, "intermediate_size": widths[0]} if widths else config)
    common = sizes(read, _GEMMA3N)
    biased = read.flag("attention_bias", False)
    windows = layer_windows(read, layers, PERIOD, 512)
    spec = Gemma3nSpec(
        family="gemma3n_text",
        **common,
        qkv_bias=biased,
        output_bias=biased,
        qk_norm=True,
        windows=windows,
        logits_softcap=config.get("final_logit_softcapping", 30.0) is not None,
        ffns=widths or (common["ffn"],) * layers,
        sparse=_sparse(config, layers),
        shared_layers=_shared(config, windows),
        copies=read.size("altup_num_inputs", 4),
        clipped=config.get("altup_coef_clip", 120.0) is not None,
        scaled_correction=read.flag("altup_correct_scale", True),
        laurel_rank=read.size("laurel_rank", 64),
        layer_vocab=read.size("vocab_size_per_layer_input", 262144),
        layer_hidden=read.size("hidden_size_per_layer_input", 256),
    )
    if spec.copies < 2:
        raise ModelError("altup_num_inputs must be at least 2", f"{FIELD}.altup_num_inputs")
    return spec, read.assumptions


def _widths(config: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    """``intermediate_size`` where it is a list, one width a layer; else nothing."""
    listed = config.get("intermediate_size")
    if not isinstance(listed, list):
        return ()
    right = all(isinstance(one, int) and not isinstance(one, bool) and 0 < one <= LARGEST_DIMENSION for one in listed)
    if len(listed) != layers or not right:
        raise ModelError(f"intermediate_size must be a width, or {layers} of them", f"{FIELD}.intermediate_size")
    return tuple(listed)


def _sparse(config: Mapping[str, Any], layers: int) -> tuple[bool, ...]:
    """Which layers drop most of their activations: a share above 0 in ``activation_sparsity_pattern``."""
    listed = config.get("activation_sparsity_pattern")
    if listed is None:
        return tuple(i < SPARSE_LAYERS < layers for i in range(layers))
    if not isinstance(listed, list) or len(listed) != layers or not all(finite(one) for one in listed):
        raise ModelError(
            f"activation_sparsity_pattern must be {layers} numbers", f"{FIELD}.activation_sparsity_pattern"
        )
    return tuple(one > 0 for one in listed)


def _shared(config: Mapping[str, Any], windows: tuple[int | None, ...]) -> int:
    """How many of the last layers read the keys and values of earlier ones; each kind of layer must be among those."""
    field, shared = "num_kv_shared_layers", config.get("num_kv_shared_layers", 15)
    if isinstance(shared, bool) or not isinstance(shared, int) or not 0 <= shared < len(windows):
        raise ModelError(f"{field} must be a number below the {len(windows)} layers", f"{FIELD}.{field}")
    if shared and set(windows[: len(windows) - shared]) != set(windows):
        raise ModelError(f"the first {len(windows) - shared} layers lack a kind of the last", f"{FIELD}.{field}")
    return shared


FAMILIES = {"gemma3n_text": Family(read, "Gemma3nForCausalLM")}
