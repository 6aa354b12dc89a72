"""``quantization_config``: how the weights of a published checkpoint are stored.

Understood are the methods of ``METHODS``; each reader says which of the scenario's formats it is, and which modules
stay in 16 bits. What it does not know it refuses: an estimate in 16 bits would be wrong by a factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memcalc.errors import ModelError
from memcalc.models.quantised import compressed, grouped, libraries
from memcalc.models.quantised.entry import FIELD, Entry, Unknown
from memcalc.models.reader import shown
from memcalc.quantisation.modules import PatternError, needed
from memcalc.quantisation.published import Published

METHODS: dict[str, Callable[[Entry], Published]] = {
    "gptq": grouped.gptq,
    "awq": grouped.awq,
    "auto-round": grouped.auto_round,
    "intel/auto-round": grouped.auto_round,
    "hqq": grouped.hqq,
    "torchao": grouped.torchao,
    "exl2": grouped.exl,
    "exl3": grouped.exl,
    "bitsandbytes": libraries.bitsandbytes,
    "fp8": libraries.fp8,
    "fbgemm_fp8": libraries.fbgemm,
    "mxfp4": libraries.mxfp4,
    "quanto": libraries.quanto,
    "eetq": libraries.eetq,
    "compressed-tensors": compressed.compressed_tensors,
    "modelopt": compressed.modelopt,
    "modelopt_fp4": compressed.modelopt,
}
"""The readers by ``quant_method``."""


KEY = "quantization_config"
LISTS = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "llm_int8_skip_modules")


def published(config: Mapping[str, Any]) -> Published | None:
    """What ``config`` says about its weights; None where they are not quantised. ModelError for what is no
    quantization_config at all."""
    raw = config.get(KEY) or config.get("compression_config")
    if not raw:
        return None
    if not isinstance(raw, Mapping):
        raise ModelError(f"quantization_config must be a JSON object, not {shown(raw)}", FIELD)
    method = _method(raw)
    reader = METHODS.get(method)
    if reader is None:
        return Published(method, None, f"no program yet for checkpoints quantised by {method}")
    entry = Entry(method, raw)
    try:
        return reader(entry)
    except (Unknown, PatternError) as error:
        return Published(method, None, f"no program yet for this {method} checkpoint: {error}")


def shortened(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """``config`` with lists of modules that say the same in fewer entries: published ones name every norm."""
    raw = config.get(KEY)
    if not isinstance(raw, Mapping):
        return config
    lists = {
        name: list(needed(value))
        for name, value in raw.items()
        if isinstance(value, list) and name in LISTS and all(isinstance(one, str) for one in value)
    }
    return {**config, KEY: {**raw, **lists}}


def _method(raw: Mapping[str, Any]) -> str:
    method = raw.get("quant_method")
    if method is None:  # bitsandbytes' older checkpoints do not name themselves
        named = [one for one in ("load_in_4bit", "load_in_8bit") if raw.get(one)]
        method = "bitsandbytes" if named else "compressed-tensors" if raw.get("config_groups") else None
    if not isinstance(method, str) or not 0 < len(method) <= 40 or not method.isprintable():
        raise ModelError(
            f"quantization_config does not say its quant_method: {shown(method)}", f"{FIELD}.quant_method",
            sorted(METHODS),
        )  # fmt: skip
    return method.casefold()
