"""Reads Arcee and Nemotron configurations (transformers 5.23 models/{arcee,nemotron}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.rotary import PartialSpec
from memcalc.architectures.spec import DecoderSpec
from memcalc.models.reader import Family, Reader
from memcalc.models.readers.decoders import rotary_width, sizes

_ARCEE = {"vocab": 32000, "hidden": 2560, "ffn": 18432, "positions": 4096, "act": "relu2"}
_NEMOTRON = {"vocab": 256000, "hidden": 6144, "ffn": 24576, "heads": 48, "positions": 4096, "act": "relu2"}


def _biases(read: Reader) -> dict[str, bool]:
    biased = read.flag("attention_bias", False)
    return {"qkv_bias": biased, "output_bias": biased, "mlp_bias": read.flag("mlp_bias", False)}


def read_arcee(config: Mapping[str, Any]) -> tuple[DecoderSpec, list[str]]:
    read = Reader(config)
    common: dict[str, Any] = sizes(read, _ARCEE) | _biases(read)
    return DecoderSpec(family="arcee", **common), read.assumptions


def read_nemotron(config: Mapping[str, Any]) -> tuple[PartialSpec, list[str]]:
    read = Reader(config)
    common: dict[str, Any] = sizes(read, _NEMOTRON) | _biases(read)
    width = rotary_width(read, common["head_dim"], 0.5)
    return PartialSpec(family="nemotron", **common, rotary_dim=width), read.assumptions


FAMILIES = {
    "arcee": Family(read_arcee, "ArceeForCausalLM"),
    "nemotron": Family(read_nemotron, "NemotronForCausalLM"),
}
