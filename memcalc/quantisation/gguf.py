"""GGUF mixtures: which block type each tensor of a model gets [llama.cpp src/llama-quant.cpp:
llama_tensor_get_type_impl]. ``IQ4_XS-imatrix``: made with an importance matrix, which spares some exceptions.

One base type, and exceptions for the tensors that suffer most: values, the way down, the attention's output, the head.
Tensors of one dimension, positions and routers are never quantised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memcalc.quantisation.gguf_types import BLOCKS, fitting, row_bytes
from memcalc.quantisation.weight import Weight

BASES = {
    "F32": "F32", "F16": "F16", "BF16": "BF16",
    "Q4_0": "Q4_0", "Q4_1": "Q4_1", "Q5_0": "Q5_0", "Q5_1": "Q5_1", "Q8_0": "Q8_0",
    "Q2_K": "Q2_K", "Q2_K_S": "Q2_K", "Q3_K_S": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K", "Q4_K_M": "Q4_K", "Q5_K_S": "Q5_K", "Q5_K_M": "Q5_K", "Q6_K": "Q6_K",
    "IQ1_S": "IQ1_S", "IQ1_M": "IQ1_M", "IQ2_XXS": "IQ2_XXS", "IQ2_XS": "IQ2_XS", "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S",
    "IQ3_XXS": "IQ3_XXS", "IQ3_XS": "IQ3_S", "IQ3_S": "IQ3_S", "IQ3_M": "IQ3_S", "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS",
    "TQ1_0": "TQ1_0", "TQ2_0": "TQ2_0", "Q1_0": "Q1_0", "Q2_0": "Q2_0", "MXFP4_MOE": "MXFP4", "NVFP4": "NVFP4",
}  # fmt: skip
"""A file's name for itself, and the type that most of its tensors have. IQ2_S, IQ2_M and IQ3_XS are made of other
blocks than their names say."""
ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "MXFP4": "MXFP4_MOE"}
PLAIN = ("F32", "F16", "BF16")
IMATRIX = "-imatrix"
"""Ending of a mixture made with an importance matrix."""
WITH_IMATRIX = ("IQ3_XXS", "IQ4_XS", "IQ4_NL", "Q4_0", "Q5_0")
"""The mixtures that differ with one."""
_LOW = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M")
_NEVER = ("norm", "bias", "position_embd", "ffn_gate_inp")


@dataclass(frozen=True, slots=True)
class Traits:
    """What the rules ask of a model: layers, query heads for each key head, experts, its family, and whether head and
    embedding are one tensor."""

    layers: int
    grouped: int
    experts: int
    family: str
    tied: bool
    imatrix: bool = False

    @property
    def seventy(self) -> bool:
        """A "70B" model: 80 layers and grouped queries [llama-model.cpp: LLM_TYPE_70B]."""
        return self.layers == 80 and self.grouped > 1 and self.family in ("llama", "qwen2")


def more_bits(layer: int, layers: int) -> bool:
    """The layers that get more bits: the first and the last eighth, and every third between.

    >>> sum(more_bits(layer, 32) for layer in range(32))
    16
    """
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def types(weights: Sequence[Weight], mixture: str, traits: Traits) -> list[tuple[Weight, str]]:
    """Each tensor of the file with its block type."""
    if mixture.endswith(IMATRIX):
        mixture, traits = mixture.removesuffix(IMATRIX), replace(traits, imatrix=True)
    return [(one, type_of(one, mixture, traits)) for one in weights]


def type_of(one: Weight, mixture: str, traits: Traits) -> str:
    """The block type of one tensor."""
    if one.kind in _NEVER:
        return "F32"
    if mixture in PLAIN:
        return BASES[mixture]
    return fitting(_wished(one, mixture, traits), one.columns)


def tensor_bytes(one: Weight, kind: str) -> int:
    """Bytes of a tensor in blocks of ``kind``."""
    return one.rows * one.copies * row_bytes(kind, one.columns)


def _wished(one: Weight, mixture: str, traits: Traits) -> str:
    base = BASES[mixture]
    if one.kind == "output" or (one.kind == "token_embd" and traits.tied):
        return _output(one, mixture, base, traits)
    if mixture == "MXFP4_MOE":
        return "MXFP4" if one.copies > 1 else "Q8_0"
    if one.kind == "token_embd":
        return _embedding(mixture, base)
    rules = {
        "attn_v": _values, "attn_k": _queries_keys, "attn_q": _queries_keys, "ffn_down": _down,
        "attn_output": _attention_output, "attn_qkv": _fused, "ffn_gate": _gate_up, "ffn_up": _gate_up,
    }  # fmt: skip
    rule = rules.get(one.kind)
    return rule(one, mixture, base, traits) if rule and one.layer is not None else base


def _output(one: Weight, mixture: str, base: str, traits: Traits) -> str:
    if mixture == "MXFP4_MOE" or traits.family == "falcon" or one.columns % BLOCKS[base][0]:
        return "Q8_0"
    if mixture in _LOW or mixture == "IQ3_XXS":
        return "Q5_K"
    return base if base == "Q8_0" else "Q6_K"


def _embedding(mixture: str, base: str) -> str:
    if mixture in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"):
        return "Q2_K"
    if mixture in ("IQ2_S", "IQ2_M", "IQ3_XXS"):
        return "IQ3_S"
    return "Q4_K" if mixture in ("TQ1_0", "TQ2_0", "Q2_0") else base


def _values(one: Weight, mixture: str, base: str, traits: Traits) -> str:
    assert one.layer is not None
    grouped = traits.grouped >= 4
    if mixture in _LOW:
        if grouped or traits.experts >= 4:
            return "Q4_K"
        return "IQ3_S" if mixture in ("IQ2_S", "IQ2_M") else "Q2_K"
    kind = base
    if mixture == "Q2_K":
        kind = "Q4_K" if grouped else "Q3_K"
    elif mixture in ("Q2_K_S", "IQ3_XS", "IQ3_S") and grouped:
        kind = "Q4_K"
    elif mixture == "IQ3_XXS":
        kind = "Q4_K" if grouped else base if traits.imatrix else "IQ3_S"
    elif mixture == "IQ3_M":
        kind = "Q4_K"
    elif mixture == "Q3_K_M":
        kind = "Q5_K" if one.layer < 2 else "Q4_K"
    elif mixture == "Q3_K_L" or (mixture in ("IQ4_NL", "IQ4_XS") and grouped):
        kind = "Q5_K"
    elif mixture in ("Q4_K_M", "Q5_K_M") and more_bits(one.layer, traits.layers):
        kind = "Q6_K"
    elif mixture == "Q4_K_S" and one.layer < 4:
        kind = "Q5_K"
    if traits.seventy and kind in ("Q3_K", "Q4_K"):
        kind = "Q5_K"
    return "Q8_0" if traits.experts == 8 else kind


def _queries_keys(one: Weight, mixture: str, base: str, traits: Traits) -> str:
    if one.kind == "attn_k" and traits.experts == 8:
        return "Q4_K" if mixture in _LOW else "Q8_0"
    return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(mixture, base)


def _down(one: Weight, mixture: str, base: str, traits: Traits) -> str:
    assert one.layer is not None
    layer, layers, falcon = one.layer, traits.layers, traits.family == "falcon"
    first, more = layer < layers // 8, more_bits(layer, layers)
    if mixture in _LOW:
        return ("IQ3_S" if mixture in ("IQ2_S", "IQ2_M") else "Q2_K") if first else base
    if mixture == "Q2_K":
        return "Q3_K"
    if mixture == "IQ3_XXS" and not traits.imatrix:
        return "Q4_K" if first else "Q3_K"
    if first and traits.imatrix and mixture in ("Q4_0", "Q5_0"):
        return "Q4_1" if mixture == "Q4_0" else "Q5_1"
    if mixture == "Q3_K_M":
        if layer < layers // 16:
            return "Q5_K"
        return "Q4_K" if more or not falcon else "Q3_K"
    if mixture == "Q3_K_L":
        return "Q4_K" if falcon else "Q5_K"
    if mixture == "Q4_K_M" and falcon:
        return "Q6_K" if layer < layers // 16 else "Q5_K" if more else "Q4_K"
    if mixture in ("Q4_K_M", "Q5_K_M") and more:
        return "Q6_K"
    if mixture == "IQ3_M" and (first or (traits.experts == 8 and more)):
        return "Q4_K"
    if first and mixture == "Q2_K_S":
        return "Q4_K"
    plain = mixture in ("IQ4_NL", "IQ4_XS") and not traits.imatrix
    return "Q5_K" if first and (plain or (mixture == "Q4_K_S" and not falcon)) else base


def _attention_output(one: Weight, mixture: str, base: str, traits: Traits) -> str:
    if traits.family == "falcon":
        return "Q4_K" if mixture == "Q3_K_L" else base
    if traits.experts == 8:
        raised = ("Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M",
                  "IQ4_XS", *_LOW)  # fmt: skip
        return "Q5_K" if mixture in raised else base
    return {
        "IQ1_S": "IQ2_XXS", "IQ1_M": "IQ2_XXS", "IQ2_S": "IQ3_S", "IQ2_M": "IQ3_S", "Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S",
        "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K",
    }.get(mixture, base)  # fmt: skip


def _fused(one: Weight, mixture: str, base: str, traits: Traits) -> str:
    return {"Q3_K_M": "Q4_K", "Q3_K_L": "Q4_K", "IQ3_M": "Q4_K", "Q4_K_M": "Q5_K", "Q5_K_M": "Q6_K"}.get(mixture, base)


def _gate_up(one: Weight, mixture: str, base: str, traits: Traits) -> str:
    assert one.layer is not None
    middle = traits.layers // 8 <= one.layer < 7 * traits.layers // 8
    return "IQ3_XXS" if mixture == "IQ3_XS" and middle else base
