"""Reads Gemma 1, 2 and 3 (text) configurations (transformers 5.23 models/{gemma,gemma2,gemma3}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memcalc.architectures.gemma import GemmaSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Read, Reader
from memcalc.models.readers.decoders import layer_windows, sizes

GELU = "gelu_pytorch_tanh"
GEMMA = {"hidden": 3072, "vocab": 256000, "ffn": 24576, "layers": 28, "heads": 16, "kv_heads": 16, "positions": 8192}
GEMMA2 = {"hidden": 2304, "vocab": 256000, "ffn": 9216, "layers": 26, "heads": 8, "kv_heads": 4, "positions": 8192}
GEMMA3 = GEMMA2 | {"vocab": 262208, "positions": 131072}


def _reader(family: str, defaults: Mapping[str, Any], period: int) -> Read:
    """A reader for one generation; every ``period``-th layer attends to everything (0: all layers do)."""
    second = {"activation_field": "hidden_activation"} if period else {}
    defaults = {**defaults, "head_dim": 256, "tied": True, "act": GELU, **second}

    def read_config(config: Mapping[str, Any]) -> tuple[GemmaSpec, list[str]]:
        read = Reader(config)
        common = sizes(read, defaults)
        biased = read.flag("attention_bias", False)
        if read.flag("use_bidirectional_attention", False):
            name = "use_bidirectional_attention"
            raise ModelError(f"{family} with {name} has no program yet", f"{FIELD}.{name}", [False])
        spec = GemmaSpec(family=family, **common, qkv_bias=biased, output_bias=biased)
        if not period:
            return spec, read.assumptions
        every = read.size("sliding_window_pattern", period, required=False) if period > 2 else period
        capped = None if period > 2 else 30.0
        spec = replace(
            spec,
            windows=layer_windows(read, spec.layers, every, 4096),
            qk_norm=period > 2,
            attention_softcap=config.get("attn_logit_softcapping", 50.0) is not None,
            logits_softcap=config.get("final_logit_softcapping", capped) is not None,
            eager_only=period == 2,
        )
        return spec, read.assumptions

    return read_config


FAMILIES = {
    "gemma": Family(_reader("gemma", GEMMA, 0), "GemmaForCausalLM"),
    "gemma2": Family(_reader("gemma2", GEMMA2, 2), "Gemma2ForCausalLM"),
    "gemma3_text": Family(_reader("gemma3_text", GEMMA3, 6), "Gemma3ForCausalLM"),
}
